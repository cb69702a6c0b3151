package spec

import (
	"os"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestOneErrorForAWrongType puts a value of the wrong kind in each place of a
// spec in turn: each is one finding, and nothing else follows from it.
func TestOneErrorForAWrongType(t *testing.T) {
	more := head + `s3:
  buckets:
    - name: data
      versioning: Enabled
      forceDestroy: true
      encryption: {sseAlgorithm: "aws:kms", bucketKeyEnabled: true}
      lifecycleRules:
        - id: one
          status: Enabled
          filter: {prefix: x}
          expiration: {days: 60}
          transitions: [{days: 30, storageClass: STANDARD_IA}]
          noncurrentVersionExpiration: {noncurrentDays: 5}
logs: {logGroups: [{name: x, retentionInDays: 7}]}
iam:
  users:
    - {name: u, accessKey: {rotateAfter: 90d, retireAfter: 1d, deliver: [{file: {path: x}}]}}
  roles:
    - {name: r, maxSessionDuration: 3600, trust: {github: {repository: o/r, branch: main}}}
ecs:
  taskDefinitions:
    - family: f
      ephemeralStorage: {sizeInGiB: 30}
      containerDefinitions:
        - name: c
          image: nginx
          essential: true
          cpu: 10
          portMappings: [{containerPort: 80}]
          environment: [{name: A, value: b}]
`
	texts := map[string]string{"own": more}
	for _, name := range []string{"dev.yaml", "github-oidc.yaml"} {
		text, err := os.ReadFile("../examples/" + name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	for name, text := range texts {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		var visit func(n *yaml.Node, path string)
		visit = func(n *yaml.Node, path string) {
			for i, c := range n.Content {
				at := path
				if n.Kind == yaml.MappingNode {
					if i%2 == 0 {
						continue
					}
					at += "." + n.Content[i-1].Value
				}
				was := *c
				if c.Kind == yaml.ScalarNode {
					*c = yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
				} else {
					*c = yaml.Node{Kind: yaml.ScalarNode, Value: "wrong", Style: yaml.DoubleQuotedStyle}
				}
				changed, err := yaml.Marshal(&doc)
				if err != nil {
					t.Fatal(err)
				}
				*c = was
				if strings.Contains(at, ".Condition.") {
					continue // whose operators are IAM's to know
				}
				f, err := Load("-", Options{Stdin: strings.NewReader(string(changed))})
				if err == nil {
					err = f.Check()
				}
				problems, _ := err.(Problems)
				if len(problems) != 1 {
					t.Errorf("%s%s: %d findings:\n%v", name, at, len(problems), err)
				}
				visit(c, at)
			}
		}
		visit(doc.Content[0], "")
	}
}
