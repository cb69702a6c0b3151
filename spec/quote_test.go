package spec

import (
	"strings"
	"testing"
)

// TestNothingOfOtherFiles: an error about a file that a spec names tells
// nothing of what stands in it, unless it is what the spec takes it for.
func TestNothingOfOtherFiles(t *testing.T) {
	const secret = "wJalrXUtnFEMI"
	files := map[string]string{
		"credentials": "[default]\naws_secret_access_key = " + secret + "\n",
		"dotenv":      "TOKEN=" + secret + "\n",
		"config.json": `{"auths": {"x": {"auth": "` + secret + `"}}}`,
		"broken.json": `{"auths": ` + secret + `}`,
		"kube.yaml":   "users:\n- user: {token: " + secret + "\n",
	}
	for name, body := range map[string]string{
		"extends":             "extends: FILE\n",
		"a policy":            "iam: {policies: [{name: p, document: {file: FILE}}]}\n",
		"containers":          "ecs: {taskDefinitions: [{family: f, containerDefinitions: {file: FILE}}]}\n",
		"a bucket's name":     "s3: {buckets: [{name: \"${file.FILE}!\"}]}\n",
		"a group's name":      "logs: {logGroups: [{name: \"${file.FILE}!\"}]}\n",
		"a number":            "logs: {logGroups: [{name: x, retentionInDays: \"${file.FILE}\"}]}\n",
		"a variable":          "vars: {v: \"${file.FILE}\"}\ns3: {buckets: [{name: \"${var.v}!\"}]}\n",
		"a reference":         "outputs: {a: \"${s3.bucket/${file.FILE}.arn}\"}\n",
		"a reference's words": "outputs: {a: \"${${file.FILE}}\"}\n",
		"a document":          "iam: {policies: [{name: p, document: \"${file.FILE}\"}]}\n",
		"a role":              "iam: {users: [{name: u, policies: [\"${file.FILE}\"]}]}\n",
		"a key":               "iam: {policies: [{name: p, document: {\"${file.FILE}\": 1, Statement: []}}]}\n",
	} {
		for file := range files {
			files["dev.yaml"] = head + strings.ReplaceAll(body, "FILE", file)
			err := check(t, files, Options{})
			problems, _ := err.(Problems)
			if err == nil {
				t.Errorf("%s of %s: nothing is wrong", name, file)
			}
			for _, p := range problems {
				if shown := p.Error() + p.Source; strings.Contains(shown, secret) || strings.Contains(shown, "auths") || strings.Contains(shown, "default") {
					t.Errorf("%s of %s: %v\n%s", name, file, p, p.Source)
				}
			}
		}
	}
}
