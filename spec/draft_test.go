package spec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

func draftOf(s *Spec) Draft {
	return Draft{
		Project: s.Project, Environment: s.Environment, Region: s.Region, Account: s.Account, Partition: s.Partition,
		Resources: s.Resources(), Outputs: s.Outputs,
	}
}

// loaded is what a draft comes to once it is written and loaded.
func loaded(t testing.TB, text []byte) *Spec {
	t.Helper()
	f, err := Load("-", Options{Stdin: strings.NewReader(string(text))})
	if err == nil {
		err = f.Check()
	}
	var s *Spec
	if err == nil {
		s, err = f.Bind(Identity{Partition: "aws", Account: f.Account()})
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s
}

// treeOf is a resource as a tree. The order of attached policies means nothing.
func treeOf(r Resource) map[string]any {
	tree := Tree(indirect(r))
	if policies, ok := tree["policies"].([]any); ok {
		slices.SortFunc(policies, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	}
	return tree
}

// trees are the resources of a spec as trees, by address.
func trees(s *Spec) map[string]any {
	all := map[string]any{}
	for _, r := range s.Resources() {
		all[r.ID().String()] = treeOf(r)
	}
	return all
}

// TestDraftExamples: each example, written from what it comes to, reads as a
// person would have written it, and means the same.
func TestDraftExamples(t *testing.T) {
	for _, name := range []string{"dev.yaml", "prod.yaml", "github-oidc.yaml"} {
		t.Run(name, func(t *testing.T) {
			want := example(t, name)
			text := draftOf(want).YAML()
			golden := filepath.Join("testdata", "drafts", name)
			if *update {
				if err := os.WriteFile(golden, text, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			kept, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(kept), string(text)); diff != "" {
				t.Errorf("the golden and what is written (-want +got):\n%s", diff)
			}
			got := loaded(t, text)
			if diff := cmp.Diff(trees(want), trees(got)); diff != "" {
				t.Errorf("what was meant and what was loaded (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want.Outputs, got.Outputs); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			if again := draftOf(got).YAML(); string(again) != string(text) {
				t.Errorf("written again it is other text:\n%s", cmp.Diff(string(text), string(again)))
			}
		})
	}
}

// hostile are texts that YAML, references or both would take for something
// else.
var hostile = []string{
	"", " ", "no", "No", "n", "y", "on", "off", "true", "null", "~", "NULL", "1", "01", "0x1f", "1e5", "1_000", "12:30:45", ".5", "-1", "+1", ".inf", ".nan",
	"2026-11-25", "2012-10-17", "2026-11-25T00:00:00Z", "=", "<<", "-", "--", "---", "...", "- a", "-a", "--flag", "? a", "?a", ": a", ":a", "a:", "a: b", "a:b", "a #b", "a#b", "#a",
	"*a", "&a", "!a", "!!str a", "|", "|-", ">", "%a", "@a", "`a", "'", "\"", "'a'", "\"a\"", "it's", "a\\b", "\\n", "{", "}", "{}", "[", "]", "[]", "[a", "{a: b}", ",", "a, b", "a,b",
	"${", "$${", "$$${", "${}", "${var.x}", "$${var.x}", "${aws:username}", "$", "$$", "a$", "{{x}}", "${s3.bucket/data-of-drafts.arn}", "}",
	"\n", "a\n", "a\nb", "a\nb\n", "a\n\nb", "a\nb\n\n", "\na", " a\nb", "a\n b", "a \nb", "a\n\tb", "a\r\nb", "a\rb", "\t", "a\t", "\ta", "a\n---\nb", "a\n# b\n", "- a\n- b", "a: b\nc: d",
	"\x00", "\x01", "\x1b[31m", "\x7f", "\u0085", "\u00a0", "\u2028", "\u2029", "\ufeff", "a\ufeff", "\ufffd", "\U0001f600", "é", "e\u0301", "\u200b", "\u202e", "\U000e0001",
	"data-of-drafts", "s3://data-of-drafts/a", "s3://data-of-drafts", "s3://other/${x}", "arn:aws:s3:::data-of-drafts", "arn:aws:s3:::data-of-drafts/*", "arn:aws:s3:::data-of-drafts-2",
	"arn:aws:s3:::data-of-drafts/${aws:username}/*", "arn:aws:iam::123456789012:role/x", "arn:aws:logs:eu-north-1:123456789012:log-group:x:*", "arn:${x}:y:eu-north-1:123456789012:z", "arn:a:b:c",
	"arn:aws:iam::123456789012:role/role-of-drafts", "123456789012.dkr.ecr.eu-north-1.amazonaws.com/images:${x}", "123456789012.dkr.ecr.eu-north-1.amazonaws.com/images-2", "eu-north-1", "123456789012", "p", "e",
}

// hostileDraft has a text wherever AWS takes any text.
func hostileDraft(text string) Draft {
	quoted, _ := json.Marshal(strings.Map(func(c rune) rune {
		if c > 0xff { // what IAM's documents cannot hold
			return '!'
		}
		return c
	}, text))
	allow := func(more string) Document {
		return Document(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::data-of-drafts/*"` + more + `}]}`)
	}
	container := ecstypes.ContainerDefinition{
		Name: aws.String("c"), Image: aws.String("123456789012.dkr.ecr.eu-north-1.amazonaws.com/images:v1"),
		Command: []string{text, "plain", text}, DockerLabels: map[string]string{"plain": text, "k" + text: "plain"},
		Environment: []ecstypes.KeyValuePair{{Name: aws.String("A"), Value: aws.String(text)}, {Name: aws.String("B"), Value: aws.String(text + text)}},
		LogConfiguration: &ecstypes.LogConfiguration{LogDriver: "awslogs", Options: map[string]string{
			"awslogs-group": "/drafts", "awslogs-region": "eu-north-1", "awslogs-stream-prefix": "x" + text,
		}},
	}
	return Draft{
		Project: "p", Environment: "e", Region: "eu-north-1", Account: "123456789012", Partition: "aws",
		Head: []string{text}, Tail: []string{text}, Comments: map[ID][]string{{Bucket, "data-of-drafts"}: {text, text}},
		Resources: []Resource{
			S3Bucket{Name: "data-of-drafts", Policy: allow(`,"Principal":{"AWS":"arn:aws:iam::123456789012:role/role-of-drafts"}`)},
			LogsLogGroup{Name: "/drafts"},
			ECRRepository{Name: "images"},
			IAMPolicy{Name: "policy-of-drafts", Document: allow(`,"Condition":{"StringEquals":{"aws:PrincipalTag/a":` + string(quoted) + `,"aws:PrincipalTag/b":["plain",` + string(quoted) + `]}}`)},
			IAMRole{
				Name: "role-of-drafts", Policies: []string{"arn:aws:iam::123456789012:policy/policy-of-drafts"},
				AssumeRolePolicy: Document(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringLike":{"aws:x":` + string(quoted) + `}}}]}`),
			},
			ECSTaskDefinition{Family: "drafts", TaskRole: aws.String("arn:aws:iam::123456789012:role/role-of-drafts"), ContainerDefinitions: []ecstypes.ContainerDefinition{container}},
		},
	}
}

// meant wants a draft to come back as it is.
func meant(t *testing.T, d Draft) {
	t.Helper()
	text := d.YAML()
	got := trees(loaded(t, text))
	for _, r := range d.Resources {
		id := r.ID().String()
		want, have := treeOf(r), got[id].(map[string]any)
		if diff := cmp.Diff(want, have, cmp.Transformer("document", func(d Document) (v any) {
			if err := json.Unmarshal(d, &v); err != nil {
				return string(d)
			}
			return v
		})); diff != "" {
			t.Errorf("%s: what was meant and what was loaded (-want +got):\n%s\n%s", id, diff, text)
		}
	}
	if again := d.YAML(); string(again) != string(text) {
		t.Errorf("written twice it differs:\n%s", cmp.Diff(string(text), string(again)))
	}
}

func TestDraftHostile(t *testing.T) {
	for _, text := range hostile {
		t.Run(strconv.Quote(text), func(t *testing.T) { meant(t, hostileDraft(text)) })
	}
}

// FuzzDraft: whatever text AWS has, what is written is what was meant.
func FuzzDraft(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || len(text) > 1000 {
			t.Skip("AWS answers in UTF-8")
		}
		meant(t, hostileDraft(text))
	})
}
