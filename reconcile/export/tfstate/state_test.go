package tfstate

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

var update = flag.Bool("update", false, "write the golden file anew")

// The secrets of testdata.
var secrets = []string{"SECRET/of+the+key", "SMTP/password+of+the+key"}

func everything(spec.ID) bool { return true }

// TestZoo reads a state that real Terraform has made, with a resource of each
// type, and what "terraform show -json" prints of it. They say the same.
func TestZoo(t *testing.T) {
	golden := filepath.Join("testdata", "zoo.golden")
	for _, name := range []string{"zoo.tfstate", "zoo.show.json"} {
		part := readPart(t, open(t, name))
		got := report(part)
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, secret := range secrets {
			if strings.Contains(got, secret) {
				t.Errorf("%s: the secret %s is told", name, secret)
			}
			if !part.Tells("text with " + secret + " in it") {
				t.Errorf("%s: %s is not known for a secret", name, secret)
			}
		}
		if part.Tells("text without") {
			t.Errorf("%s: a text without a secret is taken for one with it", name)
		}
	}
}

// report is all that a part says.
func report(p Part) string {
	var b strings.Builder
	fmt.Fprintln(&b, p.Place)
	for _, w := range p.Wants {
		fmt.Fprintln(&b, w.ID, w.Path, w.Fields)
		for _, c := range w.Comments {
			fmt.Fprintln(&b, "  #", c)
		}
	}
	for _, l := range p.Left {
		fmt.Fprintln(&b, "left:", l.Address, l.Reason)
	}
	outputs, notes := p.Outputs(everything)
	for _, o := range outputs {
		fmt.Fprintln(&b, "output", o.Name, o.Value)
	}
	for _, note := range notes {
		fmt.Fprintln(&b, note)
	}
	for _, line := range p.Release(everything) {
		fmt.Fprintln(&b, line)
	}
	lines, notes := p.RemovedBlocks(everything)
	for _, line := range append(lines, notes...) {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

func open(t *testing.T, name string) io.Reader {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func readPart(t *testing.T, r io.Reader) Part {
	t.Helper()
	s, err := Read(r)
	if err != nil {
		t.Fatal(err)
	}
	place, err := s.In("", "")
	if err != nil {
		t.Fatal(err)
	}
	return s.At(place)
}

// stateOf is a state with these resources.
func stateOf(resources ...string) string {
	return `{"version": 4, "outputs": {}, "resources": [` + strings.Join(resources, ",") + `]}`
}

// one is a resource without count and for_each.
func one(kind, name, attributes string) string {
	return instance(kind, name, `"attributes": `+attributes)
}

func instance(kind, name string, instances ...string) string {
	return fmt.Sprintf(`{"mode": "managed", "type": %q, "name": %q, "provider": "provider[\"registry.opentofu.org/hashicorp/aws\"]", "instances": [{%s}]}`,
		kind, name, strings.Join(instances, "},{"))
}

func in(provider, resource string) string {
	return strings.Replace(resource, `"provider": "`, `"provider": "module.m.`+provider, 1)
}

func TestBadInput(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join("testdata", "zoo.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":            {"", "it is empty"},
		"only space":         {" \n", "it is empty"},
		"a plan":             {"PK\x03\x04xx", "saved plan"},
		"utf-16":             {"\xff\xfe{\x00", "Out-File -Encoding utf8"},
		"compressed":         {"\x1f\x8bxx", "gunzip"},
		"terraform show":     {"# aws_s3_bucket.x:\nresource", "terraform show -json"},
		"configuration":      {"\nresource \"aws_s3_bucket\" \"x\" {}", "configuration"},
		"text":               {"hello", "no JSON object"},
		"a list":             {"[]", "no JSON object"},
		"another object":     {`{"name": "x"}`, "it has no version"},
		"version 3":          {`{"version": 3, "modules": []}`, "version 3, as Terraform before 0.12"},
		"version 5":          {`{"version": 5, "resources": 7}`, "version 5; only version 4"},
		"a strange version":  {`{"version": 123456789}`, "none that is known"},
		"a version as text":  {`{"version": "4x"}`, "not as Terraform writes it"},
		"a strange format":   {`{"format_version": "7.0"}`, "format_version"},
		"a plan as json":     {`{"format_version": "1.2", "planned_values": {"secret": [1]}}`, "of a plan"},
		"encrypted":          {`{"serial": 1, "meta": {}, "encrypted_data": "x", "encryption_version": "v0"}`, "encrypted, as OpenTofu"},
		"cut off":            {string(whole[:len(whole)/2]), "cut off"},
		"cut off at once":    {"{", "cut off"},
		"cut off at the end": {strings.TrimRight(string(whole), "}\n"), "cut off"},
		"twice":              {string(whole) + string(whole), "more follows"},
		"no json":            {`{"version": 4, SECRET}`, "no valid JSON, at byte"},
		"resources as text":  {`{"version": 4, "resources": "SECRET"}`, "not as Terraform writes it"},
		"outputs as list":    {`{"version": 4, "outputs": ["SECRET"]}`, "not as Terraform writes it"},
		"a resource as text": {`{"version": 4, "resources": ["SECRET"]}`, "not as Terraform writes it"},
		"attributes as text": {stateOf(one("aws_s3_bucket", "x", `"SECRET"`)), "attributes of aws_s3_bucket.x"},
		"a name as a number": {stateOf(one("aws_s3_bucket", "x", `{"bucket": 12345}`)), "attributes of aws_s3_bucket.x are not as the AWS provider writes them: bucket"},
		"a hostile type":     {stateOf(one("aws\nSECRET", "x", `{}`)), "that Terraform does not take"},
		"a hostile name":     {stateOf(one("aws_s3_bucket", "x; rm -rf", `{}`)), "that Terraform does not take"},
		"a hostile module":   {stateOf(strings.Replace(one("aws_s3_bucket", "x", `{}`), `{`, `{"module": "module.a\nSECRET",`, 1)), "module of a aws_s3_bucket"},
		"a hostile index":    {stateOf(instance("aws_s3_bucket", "x", `"index_key": {"SECRET": 1}, "attributes": {}`)), "neither a number nor text"},
		"a hostile address": {
			`{"format_version": "1.0", "values": {"root_module": {"resources": [{"address": "SECRET", "mode": "managed", "type": "aws_s3_bucket", "name": "x", "values": {}}]}}}`,
			"address of a aws_s3_bucket",
		},
	} {
		_, err := Read(strings.NewReader(c.text))
		switch {
		case err == nil:
			t.Errorf("%s: no error", name)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: the error is %q, want one with %q", name, err, c.want)
		case strings.Contains(err.Error(), "SECRET"):
			t.Errorf("%s: the error quotes the state: %q", name, err)
		}
	}
	if _, err := Read(strings.NewReader("\xef\xbb\xbf" + string(whole))); err != nil {
		t.Errorf("a byte order mark: %v", err)
	}
	if s, err := Read(strings.NewReader(`{"format_version": "1.0"}`)); err != nil {
		t.Errorf("an empty state, shown: %v", err)
	} else if _, err := s.In("", ""); err == nil || !strings.Contains(err.Error(), "no resource of a kind") {
		t.Errorf("a place in an empty state: %v", err)
	}
}

// endless writes a list of resources, and looks at how much memory it takes.
type endless struct {
	start, item, end string
	items            int
	text             string
	peak             uint64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.text == "" {
		switch {
		case e.start != "":
			e.text, e.start = e.start, ""
		case e.items > 0:
			e.items--
			e.text = e.item
			if e.items%100 == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				e.peak = max(e.peak, m.HeapAlloc)
			}
		case e.end != "":
			e.text, e.end = e.end, ""
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, e.text)
	e.text = e.text[n:]
	return n, nil
}

// TestLarge reads a state that is larger than what it may take of memory.
func TestLarge(t *testing.T) {
	item := one("aws_lambda_function", "x", `{"code": "`+strings.Repeat("0123456789abcdef", 1<<14)+`"}`) + ","
	e := &endless{start: `{"version": 4, "resources": [`, item: item, items: 100 << 20 / len(item), end: one("aws_s3_bucket", "x", `{"bucket": "b", "region": "eu-north-1"}`) + "]}"}
	items := e.items
	s, err := Read(e)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.objects) != items+1 {
		t.Errorf("%d objects were read, want %d", len(s.objects), items+1)
	}
	if e.peak > 32<<20 {
		t.Errorf("%d MB of memory were in use for a state of 100 MB", e.peak>>20)
	}

	e = &endless{start: `{"version": 4, "x": "`, item: strings.Repeat("x", 1<<20), items: 1 << 10, end: `"}`}
	if _, err := Read(e); err == nil || !strings.Contains(err.Error(), "larger than 64 MB") {
		t.Errorf("a value of a gigabyte: %v", err)
	}
}

func TestPlaces(t *testing.T) {
	east := func(r string) string { return in("east.", r) }
	s, err := Read(strings.NewReader(stateOf(
		one("aws_ecr_repository", "n", `{"name": "same", "arn": "arn:aws:ecr:eu-north-1:111111111111:repository/same"}`),
		one("aws_ecr_lifecycle_policy", "n", `{"repository": "same", "registry_id": "111111111111"}`),
		one("aws_iam_user", "n", `{"name": "u", "path": "/", "arn": "arn:aws:iam::111111111111:user/u"}`),
		one("aws_s3_bucket", "n", `{"bucket": "b", "arn": "arn:aws:s3:::b", "region": "eu-north-1"}`),
		east(one("aws_ecr_repository", "e", `{"name": "same", "arn": "arn:aws:ecr:us-east-1:222222222222:repository/same"}`)),
		east(one("aws_iam_user", "e", `{"name": "v", "path": "/", "arn": "arn:aws:iam::222222222222:user/v"}`)),
		east(one("aws_iam_user_policy", "e", `{"user": "v", "name": "p"}`)),
		one("random_id", "x", `{"region": "mars-1"}`),
	)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.In("", "")
	want := "the state has resources in 2 places, and a spec is about one; choose with flags:\n" +
		"  --account 111111111111 --region eu-north-1  (3)\n  --account 222222222222 --region us-east-1  (2)"
	if err == nil || err.Error() != want {
		t.Errorf("In without flags: %v", err)
	}
	if _, err := s.In("", "eu-west-1"); err == nil || !strings.Contains(err.Error(), "nothing there") {
		t.Errorf("In where nothing is: %v", err)
	}
	for _, flags := range [][2]string{{"222222222222", ""}, {"", "us-east-1"}, {"222222222222", "us-east-1"}} {
		place, err := s.In(flags[0], flags[1])
		if err != nil {
			t.Errorf("In %v: %v", flags, err)
			continue
		}
		got := report(s.At(place))
		want := `account 222222222222 in us-east-1
ecr.repository/same  []
iam.user/v / [inlinePolicies]
left: random_id.x 
terraform state rm aws_ecr_repository.e
terraform state rm aws_iam_user.e
terraform state rm aws_iam_user_policy.e
`
		if got, _, _ := strings.Cut(got, "removed {"); got != want {
			t.Errorf("In %v (-want +got):\n%s", flags, cmp.Diff(want, got))
		}
	}
}

func TestLeft(t *testing.T) {
	const arn = `"arn": "arn:aws:iam::111111111111:role/a"`
	state := stateOf(
		one("aws_iam_role", "a", `{"name": "a", "path": "/", `+arn+`}`),
		one("aws_iam_role", "anonymous", `{"name": null}`),
		instance("aws_iam_user", "u", `"index_key": "here", "attributes": {"name": "here"}`, `"index_key": "gone", "attributes": {"name": "gone"}`, `"index_key": "here", "deposed": "00000001", "attributes": {"name": "old"}`),
		one("aws_iam_role_policy", "elsewhere", `{"role": "b", "name": "p"}`),
		one("aws_iam_policy_attachment", "both", `{"roles": ["a", "b"], "policy_arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}`),
		one("aws_iam_group_membership", "nobody", `{"users": [], "group": "g"}`),
		one("aws_iam_access_key", "k", `{"id": "AKIAX", "user": "stranger", "secret": "SECRET"}`),
		one("aws_s3_bucket", "inline", `{"bucket": "inline", "region": "eu-north-1", "versioning": [{"enabled": true}], "lifecycle_rule": [{}]}`),
		one("aws_s3_bucket", "split", `{"bucket": "split", "region": "eu-north-1", "versioning": [{"enabled": true}], "lifecycle_rule": []}`),
		one("aws_s3_bucket_versioning", "split", `{"bucket": "split"}`),
		`{"mode": "data", "type": "aws_iam_role", "name": "b", "instances": [{"attributes": {"name": "b"}}]}`,
	)
	part := readPart(t, strings.NewReader(state))
	got := report(part)
	want := `account 111111111111 in eu-north-1
s3.bucket/inline  []
  # It has versioning and lifecycle rules, which no Terraform resource of its own keeps: left alone here. --all writes it too.
s3.bucket/split  [versioning]
iam.role/a / [assumeRolePolicy policies]
iam.user/gone  []
iam.user/here  []
left: aws_iam_access_key.k it is about iam.user/stranger, not a resource of this state
left: aws_iam_group_membership.nobody it is about nothing
left: aws_iam_policy_attachment.both it is about iam.role/b, not a resource of this state
left: aws_iam_role.anonymous the state does not tell its name
left: aws_iam_role_policy.elsewhere it is about iam.role/b, not a resource of this state
left: aws_iam_user.u["here"] it is deposed: Terraform has put another in its place and has yet to delete it
`
	if got, _, _ := strings.Cut(got, "terraform state rm"); got != want {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, got))
	}

	// One of the users is not in AWS, and so not in the spec.
	declared := func(id spec.ID) bool { return id.Name != "gone" }
	release := strings.Join(part.Release(declared), "\n")
	if strings.Contains(release, "gone") || !strings.Contains(release, `'aws_iam_user.u["here"]'`) {
		t.Errorf("released is:\n%s", release)
	}
	_, notes := part.RemovedBlocks(declared)
	if diff := cmp.Diff([]string{"No removed block for aws_iam_user.u: some of its instances stay with Terraform."}, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

func TestOutputs(t *testing.T) {
	state := `{"version": 4, "outputs": {
		"id": {"value": "AKIAX", "sensitive": true}, "secret": {"value": "SECRET", "sensitive": true}, "told": {"value": "SECRET"},
		"within": {"value": "key=SECRET"}, "list": {"value": ["SECRET"]}, "other": {"value": "hunter2", "sensitive": true},
		"smtp": {"value": "SMTP"}, "n": {"value": 12345678901234567890}, "b": {"value": true}, "null": {"value": null}, "größe": {"value": "x"},
		"lost": {"value": "AKIAY"}, "dollar": {"value": "${x}"}, "revision": {"value": "arn:aws:ecs:eu-north-1:111111111111:task-definition/f:12"}
	}, "resources": [` + strings.Join([]string{
		one("aws_iam_user", "u", `{"name": "u", "arn": "arn:aws:iam::111111111111:user/u"}`),
		one("aws_iam_access_key", "k", `{"id": "AKIAX", "user": "u", "secret": "SECRET", "ses_smtp_password_v4": "SMTP"}`),
		one("aws_iam_access_key", "l", `{"id": "AKIAY", "user": "stranger", "secret": "SECOND"}`),
		one("aws_ecs_task_definition", "t", `{"family": "f", "arn": "arn:aws:ecs:eu-north-1:111111111111:task-definition/f:9"}`),
	}, ",") + `]}`
	part := readPart(t, strings.NewReader(state))
	declared := func(id spec.ID) bool { return id.Name != "stranger" }
	outputs, notes := part.Outputs(declared)
	var got []string
	for _, o := range outputs {
		got = append(got, fmt.Sprint(o.Name, " ", o.Value))
	}
	got = append(got, notes...)
	want := []string{
		"b [{true / }]",
		"dollar [{${x} / }]",
		"id [{ iam.access-key/u accessKeyId}]",
		"n [{12345678901234567890 / }]",
		"revision [{ ecs.task-definition/f arn}]",
		"secret [{ iam.access-key/u secretAccessKey}]",
		"told [{ iam.access-key/u secretAccessKey}]",
		"Output größe has a name that a spec does not take.",
		"Output list holds a secret of an access key.",
		"Output lost is of an access key that is left out.",
		"Output null has no value.",
		"Output other is sensitive.",
		"Output smtp holds a secret of an access key.",
		"Output within holds a secret of an access key.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAddress(t *testing.T) {
	for _, c := range []struct{ module, key, want, shell string }{
		{"", "", `aws_s3_bucket.x`, `aws_s3_bucket.x`},
		{"", `0`, `aws_s3_bucket.x[0]`, `'aws_s3_bucket.x[0]'`},
		{"", `"it's"`, `aws_s3_bucket.x["it's"]`, `'aws_s3_bucket.x["it'\''s"]'`},
		{"", `"a\"b\\c"`, `aws_s3_bucket.x["a\"b\\c"]`, `'aws_s3_bucket.x["a\"b\\c"]'`},
		{"", `"${x}%{y}$z"`, `aws_s3_bucket.x["$${x}%%{y}$z"]`, `'aws_s3_bucket.x["$${x}%%{y}$z"]'`},
		{"", `"a\nb\u0007"`, `aws_s3_bucket.x["a\nb\u0007"]`, `'aws_s3_bucket.x["a\nb\u0007"]'`},
		{`module.a["x.y"].module.b[2]`, "", `module.a["x.y"].module.b[2].aws_s3_bucket.x`, `'module.a["x.y"].module.b[2].aws_s3_bucket.x'`},
		{`module.a["]\"."].module.b`, "null", `module.a["]\"."].module.b.aws_s3_bucket.x`, `'module.a["]\"."].module.b.aws_s3_bucket.x'`},
	} {
		a, err := newAddress(c.module, "aws_s3_bucket", "x", []byte(c.key))
		if err != nil {
			t.Errorf("%s: %v", c.want, err)
			continue
		}
		if got := a.String(); got != c.want {
			t.Errorf("the address is %s, want %s", got, c.want)
		}
		if got := quoteShell(a.String()); got != c.shell {
			t.Errorf("quoted it is %s, want %s", got, c.shell)
		}
	}
	for _, module := range []string{"a", "module.", "module.a.", "module.a[", "module.a[]", "module.a[x]", `module.a["x]`, `module.a["x"`, "module.a[\"\n\"]", "module.a b", "module.a.b"} {
		if a, err := newAddress(module, "aws_s3_bucket", "x", nil); err == nil {
			t.Errorf("the module %q is taken: %s", module, a)
		}
	}
}

// FuzzRead holds that no state makes the reader panic, that no error quotes one,
// and that each line is one line.
func FuzzRead(f *testing.F) {
	small := stateOf(
		instance("aws_iam_user", "u", `"index_key": "a\u2028'b", "attributes": {"name": "a\nb"}`),
		one("aws_iam_access_key", "k", `{"user": "a\nb", "id": "AKIAX", "secret": "SECRET/of+the+key", "ses_smtp_password_v4": "SMTP/password+of+the+key"}`),
		one("aws_ecr_repository", "r", `{"name": "r", "arn": "arn:aws:ecr:eu-north-1:111111111111:repository/r", "tags": {"a": "b"}, "image_scanning_configuration": [{"scan_on_push": true}]}`),
	)
	shown := `{"format_version": "1.0", "values": {"outputs": {"s": {"value": "SECRET/of+the+key"}}, "root_module": {"child_modules": [{"resources": [
		{"address": "module.m[\"k\"].aws_s3_bucket.b[0]", "mode": "managed", "type": "aws_s3_bucket", "name": "b", "index": 0, "values": {"bucket": "b"}}]}]}}}`
	for _, text := range []string{small, shown} {
		f.Add([]byte(text))
		// Damaged in some place, by a fixed seed.
		random := rand.New(rand.NewPCG(1, 2))
		for range 200 {
			damaged := []byte(text)
			damaged[random.IntN(len(damaged))] = "{}[]\",:0n"[random.IntN(9)]
			f.Add(damaged)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Read(strings.NewReader(string(text)))
		if err != nil {
			for _, secret := range secrets {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error quotes %s: %v", secret, err)
				}
			}
			return
		}
		for _, place := range s.Places() {
			part := s.At(place)
			outputs, _ := part.Outputs(everything)
			for _, o := range outputs {
				for _, p := range o.Value {
					if part.Tells(p.Text) {
						t.Errorf("output %s tells a secret", o.Name)
					}
				}
			}
			lines := part.Release(everything)
			removed, _ := part.RemovedBlocks(everything)
			for _, line := range append(lines, removed...) {
				if strings.ContainsAny(line, "\n\r\u2028\u2029\x00\x1b") {
					t.Errorf("%q is no line", line)
				}
			}
			for _, line := range lines {
				if word := unquote(t, strings.TrimPrefix(line, "terraform state rm ")); strings.ContainsAny(word, "\n") || word == "" {
					t.Errorf("%q is no address", word)
				}
			}
		}
	})
}

// unquote reads one word as a POSIX shell does, and fails where there are two.
func unquote(t *testing.T, word string) string {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(word); i++ {
		switch c := word[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
			b.WriteByte(c)
		case c == '\\' && i+1 < len(word):
			i++
			b.WriteByte(word[i])
		case strings.IndexByte(" \t\n\"$`&|;<>()*?[#~=%!{}", c) >= 0:
			t.Errorf("the shell would see %q in %s", c, word)
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		t.Errorf("%s ends within quotes", word)
	}
	return b.String()
}
