package spec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExtends(t *testing.T) {
	files := map[string]string{
		"dev.yaml": `extends: base/mid.yaml
environment: prod
vars: {bucket: top, extra: x}
tags: {A: top, Gone: }
ignoreTags: [top]
s3:
  buckets:
    - {name: "${var.bucket}", versioning: Suspended, tags: {own: top}, objectOwnership: }
    - name: third
iam:
  users:
    - {name: u, policies: []}
outputs: {a: top, gone: }
`,
		"base/mid.yaml": `extends: ../root.yaml
project: mid
vars: {bucket: mid}
`,
		"root.yaml": head + `
vars: {bucket: root, keep: kept}
tags: {A: root, B: root, Gone: x}
ignoreTags: [root, more]
s3:
  buckets:
    - {name: first}
    - name: ${var.bucket}
      versioning: Enabled
      objectOwnership: ObjectWriter
      forceDestroy: true
      tags: {own: root, mine: root}
iam:
  users:
    - {name: u, path: /x/, policies: [arn:aws:iam::aws:policy/x]}
    - {name: v}
outputs: {a: root, b: "${var.keep} ${var.bucket} ${var.extra}", gone: x}
`,
	}
	s := bind(t, files, Options{})
	var buckets []string
	for _, b := range s.S3.Buckets {
		buckets = append(buckets, b.Name)
	}
	if diff := cmp.Diff([]string{"first", "top", "third"}, buckets); diff != "" {
		t.Errorf("buckets (-want +got):\n%s", diff)
	}
	want := S3Bucket{
		Meta:         Meta{Tags: map[string]string{"A": "top", "B": "root", "own": "top"}},
		Name:         "top",
		Versioning:   "Suspended",
		ForceDestroy: true,
	}
	if diff := cmp.Diff(want, s.S3.Buckets[1]); diff != "" {
		t.Errorf("merged bucket (-want +got):\n%s", diff)
	}
	if u := s.IAM.Users[0]; u.Path != "/x/" || u.Policies == nil || len(u.Policies) != 0 {
		t.Errorf("merged user: %+v", u)
	}
	if diff := cmp.Diff(map[string]string{"a": "top", "b": "kept top x"}, outputs(t, s)); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	if s.Project != "mid" || s.Environment != "prod" || s.Region != "eu-north-1" {
		t.Errorf("fields: %s %s %s", s.Project, s.Environment, s.Region)
	}
	if diff := cmp.Diff([]string{"top"}, s.IgnoreTags); diff != "" {
		t.Errorf("ignoreTags (-want +got):\n%s", diff)
	}
}

func TestExtendsProblems(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{
			"a file that is missing",
			map[string]string{"dev.yaml": "extends: nowhere.yaml\n"},
			"dev.yaml:1:10: extends: open nowhere.yaml: no such file or directory\n",
		},
		{
			"a circle",
			map[string]string{"dev.yaml": "extends: sub/a.yaml\n", "sub/a.yaml": "extends: ../b.yaml\n", "b.yaml": "extends: ./sub/../dev.yaml\n"},
			"b.yaml:1:10: extends: a circle: dev.yaml -> sub/a.yaml -> b.yaml -> dev.yaml\n",
		},
		{
			"itself",
			map[string]string{"dev.yaml": "extends: dev.yaml\n"},
			"dev.yaml:1:10: extends: a circle: dev.yaml -> dev.yaml\n",
		},
		{
			"a reference",
			map[string]string{"dev.yaml": "extends: ${var.x}.yaml\n"},
			"dev.yaml:1:10: extends: no references here: what they mean depends on the file that is named\n",
		},
		{
			"a list",
			map[string]string{"dev.yaml": "extends: [a.yaml]\n"},
			"dev.yaml:1:10: extends: want the path of a file, have a list\n",
		},
		{
			"mistakes stay where they are",
			map[string]string{
				"dev.yaml":  "extends: base.yaml\ns3:\n  buckets:\n    - {name: data, versioning: on}\n",
				"base.yaml": head + "s3:\n  buckets:\n    - {name: data, versioning: off, forceDestroy: 1}\n    - name: Big\n",
			},
			"base.yaml:6:51: forceDestroy: want true or false, have \"1\"\n" +
				"base.yaml:7:13: bucket name: \"Big\": allowed are small letters, digits, dots and hyphens, a letter or digit first and last\n" +
				"dev.yaml:4:32: versioning: \"on\" is not allowed; allowed are Enabled or Suspended\n",
		},
		{
			"two of one name in the upper file",
			map[string]string{
				"dev.yaml":  "extends: base.yaml\ns3: {buckets: [{name: data}, {name: data}]}\n",
				"base.yaml": head + "s3: {buckets: [{name: data}]}\n",
			},
			"dev.yaml:2:37: a second s3.bucket/data; the first is at dev.yaml:2\n",
		},
		{
			"a broken base",
			map[string]string{"dev.yaml": "extends: base.yaml\n", "base.yaml": "- a\n"},
			"dev.yaml:1:10: extends: base.yaml is no spec: it has none of a spec's fields\n",
		},
		{
			"a variable that lost its value",
			map[string]string{"dev.yaml": "extends: base.yaml\nvars: {x: }\n", "base.yaml": head + "vars: {x: a}\noutputs: {o: \"${var.x}\"}\n"},
			"base.yaml:5:15: the variable \"x\" has no value; set it with --var x=... or CHURN_VAR_x\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, text(check(t, tt.files, Options{}))); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}
