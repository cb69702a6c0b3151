package spec

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// TestUnreadable is about files that are no spec at all.
func TestUnreadable(t *testing.T) {
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+", ", 10) + "]\n"
	}
	tests := []struct {
		name, text, want string
	}{
		{"empty", "", "dev.yaml:1:1: the file is empty\n"},
		{"only comments", "# nothing\n", "dev.yaml:1:1: the file is empty\n"},
		{"only a marker", "---\n", "dev.yaml:1:1: the file is empty\n"},
		{"a list", "- a\n", "dev.yaml:1:1: a spec is a mapping of fields, this is a list\n"},
		{"text", "hello\n", "dev.yaml:1:1: a spec is a mapping of fields, this is \"hello\"\n"},
		{"two documents", head + "---\nproject: q\n", "dev.yaml:4:1: a second YAML document; a file holds one\n"},
		{"a NUL byte", "project: p\x00\n", "dev.yaml:1:11: a NUL byte: this is not a text file\n"},
		{"an ELF binary", "\x7fELF\x02\x01\x01\x00", "dev.yaml:1:8: a NUL byte: this is not a text file\n"},
		{"UTF-16, little end first", "\xff\xfep\x00", "dev.yaml:1:1: the file is UTF-16; save it as UTF-8\n"},
		{"UTF-16, big end first", "\xfe\xff\x00p", "dev.yaml:1:1: the file is UTF-16; save it as UTF-8\n"},
		{"Latin-1", "project: p\ntags: {Owner: J\xfcrgen}\n", "dev.yaml:2:16: byte 0xfc is not UTF-8; save the file as UTF-8\n"},
		{"a control character", "project: \x01\n", "dev.yaml:1:1: not valid YAML: control characters are not allowed\n"},
		{"a tab", "s3:\n\tbuckets: []\n", "dev.yaml:2:1: a tab in the indentation; YAML allows only spaces there\n"},
		{"a tab after spaces", "s3:\n  buckets:\n  \t- name: x\n", "dev.yaml:3:3: a tab in the indentation; YAML allows only spaces there\n"},
		{"a quote not closed", "project: \"p\n", "dev.yaml:1:1: environment is missing\ndev.yaml:1:10: the quote \" that opens here is not closed\n"},
		{"an unknown alias", "project: p\nenvironment: *p\n", "dev.yaml:2:14: text that begins with *, which YAML takes for an alias, and there is no anchor &p; put it in quotes: \"*p\"\n"},
		{"an anchor in itself", "vars: &v\n  a: *v\n", "dev.yaml:2:6: the anchor \"v\" contains itself\n"},
		{"a key that is a list", "? [a]\n: b\n", "dev.yaml:1:3: a key has to be text, this is a list\n"},
		{"a merge of text", "vars:\n  <<: x\n", "dev.yaml:2:7: \"<<\" merges mappings, this is \"x\"\n"},
		{"nested too deep", "vars: " + deep, "dev.yaml:1:107: too much: at most 1048576 values nested 100 deep, aliases followed\n"},
		{"aliases of aliases", bomb, "dev.yaml:1:11: too much: at most 1048576 values nested 100 deep, aliases followed\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := check(t, map[string]string{"dev.yaml": tt.text}, Options{})
			if diff := cmp.Diff(tt.want, text(err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if _, ok := errors.AsType[Problems](err); !ok {
				t.Errorf("%T is not Problems", err)
			}
		})
	}
}

// TestReadable is about odd files that are a spec all the same.
func TestReadable(t *testing.T) {
	tests := []struct{ name, text string }{
		{"a byte order mark", "\xef\xbb\xbf" + head},
		{"lines that end in CRLF", strings.ReplaceAll(head+"s3:\n  buckets:\n    - name: data\n", "\n", "\r\n")},
		{"document markers", "---\n" + head + "...\n"},
		{"empty sections", head + "s3:\nlogs:\n  logGroups:\nvars:\ntags:\noutputs:\nignoreTags:\n"},
		{"no newline at the end", strings.TrimSuffix(head, "\n")},
		{"JSON", `{"project": "p", "environment": "e", "region": "eu-north-1"}`},
		{"no region", "project: p\nenvironment: e\n"},
		{"anchors and merge keys", head + `
s3:
  buckets:
    - &one
      name: data
      versioning: Enabled
    - <<: *one
      name: more
    - <<: [{name: third}, *one]
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := check(t, map[string]string{"dev.yaml": tt.text}, Options{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLoadPath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("large.yaml", bytes.Repeat([]byte("# much\n"), maxFileSize/7+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load("nowhere.yaml", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	for path, want := range map[string]string{
		".":          "read spec: read .: is a directory",
		"large.yaml": "read spec: large.yaml is larger than 10 MiB",
		"-":          "read spec: no standard input",
	} {
		if _, err := Load(path, Options{}); err == nil || err.Error() != want {
			t.Errorf("Load(%q): %v, want %s", path, err, want)
		}
	}
}

func TestLoadStdin(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("policy.json", []byte(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load("-", Options{Stdin: strings.NewReader(head + "iam: {policies: [{name: p, document: {file: policy.json}}]}\n")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Bind(Identity{Account: "123456789012"})
	if err != nil {
		t.Fatal(err)
	}
	if s.File != "-" {
		t.Errorf("File is %q", s.File)
	}
	broken := errors.New("cut off")
	if _, err := Load("-", Options{Stdin: iotest.ErrReader(broken)}); !errors.Is(err, broken) {
		t.Errorf("standard input that breaks: %v", err)
	}
	_, err = Load("-", Options{Stdin: strings.NewReader("a: \x01\n")})
	if _, ok := errors.AsType[Problems](err); !ok || !strings.HasPrefix(err.Error(), "-:") {
		t.Errorf("standard input that is no YAML: %v", err)
	}
}

// bind loads dev.yaml from the given files and binds it.
func bind(t *testing.T, files map[string]string, o Options) *Spec {
	t.Helper()
	if err := check(t, files, o); err != nil {
		t.Fatal(err)
	}
	f, err := Load("dev.yaml", o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Bind(Identity{Account: "123456789012"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// body binds a spec of one file.
func body(t *testing.T, text string) *Spec {
	t.Helper()
	return bind(t, map[string]string{"dev.yaml": head + text}, Options{})
}

func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

// outputs are those of a spec as plain text.
func outputs(t *testing.T, s *Spec) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, o := range s.Outputs {
		v, ok := value{parts: o.Value, ok: true}.text()
		if !ok {
			t.Fatalf("%s is not plain: %v", o.Name, o.Value)
		}
		all[o.Name] = v
	}
	return all
}

func TestVariables(t *testing.T) {
	file := head + "vars: {a: file, b: \"${var.a}!\", c: 1.10, d: 0x1F, e: yes, f: }\noutputs: {a: \"${var.a}\", b: \"${var.b}\", c: \"${var.c}\", d: \"${var.d}\", e: \"${var.e}\", f: \"${var.f}\"}\n"
	o := Options{Env: env(map[string]string{
		"CHURN_VAR_a": "env", "CHURN_VAR_c": "env ${var.a}", "CHURN_VAR_nobody": "x", "CHURN_VAR_f": "",
	})}
	want := map[string]string{"a": "env", "b": "env!", "c": "env ${var.a}", "d": "0x1F", "e": "yes", "f": ""}
	if diff := cmp.Diff(want, outputs(t, bind(t, map[string]string{"dev.yaml": file}, o))); diff != "" {
		t.Errorf("from the environment (-want +got):\n%s", diff)
	}
	o.Vars = map[string]string{"a": "flag", "f": "f"}
	want["a"], want["b"], want["f"] = "flag", "flag!", "f"
	if diff := cmp.Diff(want, outputs(t, bind(t, map[string]string{"dev.yaml": file}, o))); diff != "" {
		t.Errorf("from the command line (-want +got):\n%s", diff)
	}

	o.Vars = map[string]string{"aa": "x", "zzzz": "y"}
	got := text(check(t, map[string]string{"dev.yaml": file}, o))
	wantText := "--var aa: dev.yaml declares no such variable; did you mean \"a\"?\n--var zzzz: dev.yaml declares no such variable\n"
	if diff := cmp.Diff(wantText, got); diff != "" {
		t.Errorf("undeclared ones (-want +got):\n%s", diff)
	}
}

func TestReferences(t *testing.T) {
	files := map[string]string{
		"dev.yaml": `project: p
environment: ${var.env}
region: eu-north-1
account: 012345678901
vars: {env: stage, bucket: data, key: arn, which: bucket, note: notes/a.txt, secret: "${env.TOKEN}", made: "${s3.bucket/data.arn}"}
s3: {buckets: [{name: "${var.${var.which}}"}]}
logs: {logGroups: [{name: /ecs/a.b}]}
ecr: {repositories: [{name: team/app}]}
iam:
  policies: [{name: pol, path: /ml/, document: {Statement: {Effect: Allow, Action: "*", Resource: "*"}}}]
  roles: [{name: rol, assumeRolePolicy: {Statement: {Effect: Allow, Action: "sts:AssumeRole", Principal: "*"}}}]
  users: [{name: u.ser, path: /a/b/, accessKey: {deliver: [{file: {path: x}}]}}]
ecs:
  clusters: [{name: clu}]
  taskDefinitions: [{family: fam, containerDefinitions: [{name: c, image: nginx}]}]
outputs:
  plain: text
  empty: ""
  fields: ${project}/${environment} ${region} ${account} ${partition}
  spaced: ${ var.bucket }
  literal: $${var.bucket} $ } {} $$ $$x
  env: <${env.TOKEN}>
  through: <${var.secret}>
  file: <${file.${var.note}}>
  made: ${var.made}
  bucket: ${s3.bucket/${var.bucket}.${var.key}}/*
  bucketName: ${s3.bucket/data.name}
  group: ${logs.log-group//ecs/a.b.arn}
  repo: ${ecr.repository/team/app.arn}
  uri: ${ecr.repository/team/app.uri}:latest
  policy: ${iam.policy/pol.arn}
  role: ${iam.role/rol.arn}
  user: ${iam.user/u.ser.arn}
  keyName: ${iam.access-key/u.ser.name}
  cluster: ${ecs.cluster/clu.arn}
  family: ${ecs.task-definition/fam.family}
`,
		"notes/a.txt": "two\nlines ${var.bucket}\r\n",
	}
	o := Options{Env: env(map[string]string{"TOKEN": "${project}"})}
	if err := check(t, files, o); err != nil {
		t.Fatal(err)
	}
	f, err := Load("dev.yaml", o)
	if err != nil {
		t.Fatal(err)
	}
	if f.Account() != "012345678901" || f.Region() != "eu-north-1" {
		t.Errorf("account %q, region %q", f.Account(), f.Region())
	}
	s, err := f.Bind(Identity{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"plain": "text", "empty": "",
		"fields":     "p/stage eu-north-1 012345678901 aws",
		"spaced":     "data",
		"literal":    "${var.bucket} $ } {} $$ $$x",
		"env":        "<${project}>",
		"through":    "<${project}>",
		"file":       "<two\nlines ${var.bucket}>",
		"made":       "arn:aws:s3:::data",
		"bucket":     "arn:aws:s3:::data/*",
		"bucketName": "data",
		"group":      "arn:aws:logs:eu-north-1:012345678901:log-group:/ecs/a.b",
		"repo":       "arn:aws:ecr:eu-north-1:012345678901:repository/team/app",
		"uri":        "012345678901.dkr.ecr.eu-north-1.amazonaws.com/team/app:latest",
		"policy":     "arn:aws:iam::012345678901:policy/ml/pol",
		"role":       "arn:aws:iam::012345678901:role/rol",
		"user":       "arn:aws:iam::012345678901:user/a/b/u.ser",
		"keyName":    "u.ser",
		"cluster":    "arn:aws:ecs:eu-north-1:012345678901:cluster/clu",
		"family":     "fam",
	}
	if diff := cmp.Diff(want, outputs(t, s)); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	if s.Stack() != "p/stage" || !s.AccountGiven {
		t.Errorf("stack %q, account given %v", s.Stack(), s.AccountGiven)
	}
}

// TestNoBomb: variables that double one another end in an error, soon.
func TestNoBomb(t *testing.T) {
	var sb strings.Builder
	sb.WriteString(head + "vars:\n  v0: " + strings.Repeat("x", 1000) + "\n")
	for i := 1; i < 30; i++ {
		sb.WriteString("  v" + string(rune('0'+i/10)) + string(rune('0'+i%10)) + ": ${var.v" + prev(i) + "}${var.v" + prev(i) + "}\n")
	}
	got := text(check(t, map[string]string{"dev.yaml": sb.String()}, Options{}))
	want := "dev.yaml:16:8: too much text: references may make at most 1 MiB of one value and 64 MiB of them all\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func prev(i int) string {
	if i == 1 {
		return "0"
	}
	i--
	return string(rune('0'+i/10)) + string(rune('0'+i%10))
}

// TestIdentity: what a run knows wins over what the spec leaves open.
func TestIdentity(t *testing.T) {
	t.Chdir(t.TempDir())
	load := func(text string) *File {
		f, err := Load("-", Options{Stdin: strings.NewReader(text)})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	tail := "ecr: {repositories: [{name: app}]}\noutputs: {uri: \"${ecr.repository/app.uri}\", arn: \"${ecr.repository/app.arn}\", all: \"${partition} ${region} ${account}\"}\n"
	open := load("project: p\nenvironment: e\n" + tail)
	closed := load("project: p\nenvironment: e\nregion: eu-north-1\naccount: '123456789012'\n" + tail)
	tests := []struct {
		name     string
		file     *File
		id       Identity
		uri, all string
		err      string
	}{
		{"all from the run", open, Identity{"111111111111", "aws", "eu-west-1"}, "111111111111.dkr.ecr.eu-west-1.amazonaws.com/app", "aws eu-west-1 111111111111", ""},
		{"China", open, Identity{"111111111111", "aws-cn", "cn-north-1"}, "111111111111.dkr.ecr.cn-north-1.amazonaws.com.cn/app", "aws-cn cn-north-1 111111111111", ""},
		{"partition by region", open, Identity{"111111111111", "", "us-gov-west-1"}, "111111111111.dkr.ecr.us-gov-west-1.amazonaws.com/app", "aws-us-gov us-gov-west-1 111111111111", ""},
		{"the sovereign cloud", open, Identity{"111111111111", "", "eusc-de-east-1"}, "111111111111.dkr.ecr.eusc-de-east-1.amazonaws.eu/app", "aws-eusc eusc-de-east-1 111111111111", ""},
		{"all from the spec", closed, Identity{}, "123456789012.dkr.ecr.eu-north-1.amazonaws.com/app", "aws eu-north-1 123456789012", ""},
		{"the run's region", closed, Identity{Region: "eu-west-1"}, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app", "aws eu-west-1 123456789012", ""},
		{"another account", closed, Identity{Account: "111111111111"}, "", "", "-:4:10: account: the spec is for 123456789012, the credentials are for 111111111111"},
		{"no account", open, Identity{Region: "eu-west-1"}, "", "", "-:1:1: no account is known: the spec gives none and there are no credentials\n-:4:108: ${account}: the spec gives no account"},
		{"no region", open, Identity{Account: "111111111111"}, "", "", "-:1:1: no region is known: the spec gives none, and neither does the run\n-:4:85: ${partition} needs a region, and none is given\n-:4:98: ${region}: the spec gives no region"},
		{"a region of nowhere", closed, Identity{Region: "europe"}, "", "", "-:3:9: region: \"europe\" is no region; one looks like eu-north-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.file.Check(); err != nil {
				t.Fatal(err)
			}
			s, err := tt.file.Bind(tt.id)
			if err != nil || tt.err != "" {
				if diff := cmp.Diff(tt.err, strings.TrimSuffix(text(err), "\n")); diff != "" {
					t.Errorf("error (-want +got):\n%s", diff)
				}
				return
			}
			got := outputs(t, s)
			if got["uri"] != tt.uri || got["all"] != tt.all {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestFilesAreReadOnce: binding again reads nothing, whatever became of the
// files.
func TestFilesAreReadOnce(t *testing.T) {
	files := map[string]string{
		"dev.yaml": head + "outputs: {a: \"${file.note}\", b: \"${file.${account}}\"}\n",
		"note":     "one\n", "000000000000": "nobody",
	}
	if err := check(t, files, Options{}); err != nil {
		t.Fatal(err)
	}
	f, err := Load("dev.yaml", Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	_, err = f.Bind(Identity{Account: "123456789012"})
	want := "dev.yaml:4:34: 123456789012: the name of a file cannot depend on the account, its partition or the region of the run\n"
	if diff := cmp.Diff(want, text(err)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if err := f.Check(); err != nil {
		t.Error(err)
	}
}
