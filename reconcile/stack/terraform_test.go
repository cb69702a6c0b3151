package stack_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
)

// mirrorVar names the folder that holds registry.terraform.io, with Terraform's
// AWS provider in it.
const mirrorVar = "CHURN_TEST_TERRAFORM_MIRROR"

// referenceRows is the number of resources that the stack has in Terraform.
const referenceRows = 18

// stackTags are the tags that examples/dev.yaml has on everything, and the
// product's mark.
const stackTags = `{"Project":"churn-prediction","Environment":"dev","churn-reconcile:stack":"churn-prediction/dev"}`

// Terraform is asked what it thinks of a stack that the product made, and the
// product of one that Terraform made. Neither may want to change anything but
// tags.
func TestTerraform(t *testing.T) {
	if testing.Short() {
		t.Skip("terraform takes half a minute")
	}
	alone(t)
	tf := newTerraform(t)

	t.Run("a stack of the product is one of terraform", func(t *testing.T) {
		alone(t)
		a := newAccount(t)
		o := a.mustApply(t, a.example(t, "dev.yaml"))
		dir := tf.dir(t, a, "main.tf", "import.tf")
		vars := map[string]string{"tags": stackTags, "access_key_id": output(t, o.outputs, "ml_engineer_access_key_id")}

		if diff := cmp.Diff([]string(nil), dir.plan(vars)); diff != "" {
			t.Errorf("terraform would change what it imports (-want +got):\n%s", diff)
		}
		dir.run("apply", "-input=false", "-no-color", "plan")
		if n := len(strings.Fields(dir.run("state", "list"))); n != referenceRows {
			t.Errorf("%d resources were imported, want %d", n, referenceRows)
		}

		// The twin: what somebody changes by hand, terraform sees.
		_, err := a.s3.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
			Bucket:                  aws.String("churn-prediction-data-asamane"),
			VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusSuspended},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"aws_s3_bucket_versioning.versioning: update versioning_configuration"}
		if diff := cmp.Diff(want, dir.plan(vars)); diff != "" {
			t.Errorf("terraform's plan after a change by hand (-want +got):\n%s", diff)
		}
	})

	t.Run("a stack of terraform is adopted", func(t *testing.T) {
		alone(t)
		a := newAccount(t)
		dir := tf.dir(t, a, "main.tf")
		dir.run("apply", "-input=false", "-no-color", "-auto-approve", "-parallelism=20")
		state := dir.run("state", "pull")

		// What is exported of it is in AWS already, but for the mark.
		text := a.exportState(t, state, "churn-prediction", "dev")
		golden(t, filepath.Join("testdata", "terraform", "exported.yaml"), text)
		exported := a.write(t, strings.Replace(string(text), "ml-engineer.credentials", "SINK", 1))
		mustOnlyTag(t, a.look(exported), true)
		a.mustApply(t, exported)
		a.mustBeInSync(t, exported)
		if diff := cmp.Diff(string(text), string(a.exportState(t, state, "churn-prediction", "dev"))); diff != "" {
			t.Errorf("exported again it is (-first +second):\n%s", diff)
		}

		changes := dir.plan(nil)
		for _, change := range changes {
			if _, what, _ := strings.Cut(change, ": "); what != "update tags" {
				t.Errorf("terraform would do more to the adopted stack than take tags away: %s", change)
			}
		}
		// Everything that can carry tags got the mark, the bucket included.
		if len(changes) != 11 {
			t.Errorf("terraform sees other tags on %d resources, want 11:\n%s", len(changes), strings.Join(changes, "\n"))
		}

		// And what is written by hand finds no more to do than tags of its own.
		path := a.example(t, "dev.yaml")
		o := a.mustApply(t, path)
		mustOnlyTag(t, o, false)
		a.mustBeInSync(t, path)

		keys, err := a.iam.ListAccessKeys(t.Context(), &iam.ListAccessKeysInput{UserName: aws.String("ml-engineer")})
		if err != nil {
			t.Fatal(err)
		}
		if len(keys.AccessKeyMetadata) != 1 {
			t.Fatalf("%d access keys, want the one of terraform", len(keys.AccessKeyMetadata))
		}
		id := aws.ToString(keys.AccessKeyMetadata[0].AccessKeyId)
		if !strings.Contains(state, id) {
			t.Errorf("the access key is %s, which terraform does not know", id)
		}
		if got := output(t, o.outputs, "ml_engineer_access_key_id"); got != id {
			t.Errorf("ml_engineer_access_key_id is %s, want %s", got, id)
		}

		// Taken down by the product, it is gone for Terraform, too: each of the
		// resources would be made anew. The key that Terraform made is not the
		// stack's to delete.
		if _, err := a.iam.DeleteAccessKey(t.Context(), &iam.DeleteAccessKeyInput{UserName: aws.String("ml-engineer"), AccessKeyId: &id}); err != nil {
			t.Fatal(err)
		}
		a.mustApply(t, path, func(_ *stack.Options, look *stack.Look, _ *reconcile.Options) { look.Destroy = true })
		gone := dir.plan(nil)
		for _, change := range gone {
			if !strings.Contains(change, ": create ") {
				t.Errorf("of a stack that was destroyed something is left: %s", change)
			}
		}
		if len(gone) != referenceRows {
			t.Errorf("terraform would make %d resources anew, want %d", len(gone), referenceRows)
		}
	})
}

func output(t *testing.T, outputs []reconcile.Output, name string) string {
	t.Helper()
	for _, o := range outputs {
		if o.Name == name && o.Value != nil {
			return *o.Value
		}
	}
	t.Fatalf("no output %s", name)
	return ""
}

// terraform is the program with its provider, ready for use.
type terraform struct {
	bin, mirror, home string
}

func newTerraform(t *testing.T) terraform {
	t.Helper()
	bin, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("terraform is not on this machine")
	}
	mirror := findMirror(t)
	if mirror == "" {
		t.Skipf("no folder with registry.terraform.io/hashicorp/aws is on this machine; name one in %s", mirrorVar)
	}
	tf := terraform{bin: bin, mirror: mirror, home: t.TempDir()}
	config := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror)
	if err := os.WriteFile(filepath.Join(tf.home, "terraformrc"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	tf.copy(t, tf.home, "main.tf")
	tf.run(t, tf.home, nil, "init", "-input=false", "-no-color")
	return tf
}

// findMirror looks where providers usually lie, three folders deep.
func findMirror(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv(mirrorVar); dir != "" {
		return dir
	}
	roots := []string{"/opt", "/usr/local/share/terraform", "/usr/share/terraform"}
	if home, err := os.UserHomeDir(); err == nil {
		roots = append(roots, filepath.Join(home, ".terraform.d"), home)
	}
	const deep = 3
	for _, root := range roots {
		var found string
		// What cannot be read holds nothing that could be used.
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil
			}
			if _, err := os.Stat(filepath.Join(path, "registry.terraform.io", "hashicorp", "aws")); err == nil {
				found = path
				return fs.SkipAll
			}
			if rel, _ := filepath.Rel(root, path); rel != "." && strings.Count(rel, string(filepath.Separator))+1 >= deep {
				return fs.SkipDir
			}
			return nil
		})
		if found != "" {
			return found
		}
	}
	return ""
}

func (tf terraform) copy(t *testing.T, dir string, files ...string) {
	t.Helper()
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join("testdata", "terraform", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// run is for commands that have to succeed; it answers what they print.
func (tf terraform) run(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tf.bin, args...)
	cmd.Dir = dir
	cmd.Env = tf.env(env)
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			stderr = exit.Stderr
		}
		t.Fatalf("terraform %s: %v\n%s%s", args[0], err, out, stderr)
	}
	return string(out)
}

// env has nothing of whoever runs the test: no TF_ variable, no ~/.terraformrc.
func (tf terraform) env(more []string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + tf.home,
		"TMPDIR=" + os.TempDir(),
		"CHECKPOINT_DISABLE=1",
		"TF_CLI_CONFIG_FILE=" + filepath.Join(tf.home, "terraformrc"),
		// The provider is half a gigabyte: it is unpacked and hashed once.
		"TF_DATA_DIR=" + filepath.Join(tf.home, ".terraform"),
	}, more...)
}

// A terraformDir is a configuration with a state of its own.
type terraformDir struct {
	t    *testing.T
	tf   terraform
	path string
	env  []string
	rows int // how many resources a plan has to be about; 0: it is not known
}

func (tf terraform) dir(t *testing.T, a *account, files ...string) terraformDir {
	t.Helper()
	path := t.TempDir()
	tf.copy(t, path, files...)
	const lock = ".terraform.lock.hcl"
	text, err := os.ReadFile(filepath.Join(tf.home, lock))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, lock), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return terraformDir{t: t, tf: tf, path: path, rows: referenceRows, env: []string{
		"AWS_ENDPOINT_URL=" + a.url,
		"AWS_ACCESS_KEY_ID=terraform",
		"AWS_SECRET_ACCESS_KEY=terraform",
		"AWS_CONFIG_FILE=" + os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}}
}

func (d terraformDir) run(args ...string) string {
	d.t.Helper()
	return d.tf.run(d.t, d.path, d.env, args...)
}

// plan makes the file "plan" and answers what terraform would do, an action
// and the arguments that it is about for each resource.
func (d terraformDir) plan(vars map[string]string) []string {
	d.t.Helper()
	args := []string{"plan", "-input=false", "-no-color", "-out=plan", "-parallelism=20"}
	for name, value := range vars {
		args = append(args, "-var="+name+"="+value)
	}
	d.run(args...)

	var plan struct {
		Changes []struct {
			Address string `json:"address"`
			Change  struct {
				Actions []string       `json:"actions"`
				Before  map[string]any `json:"before"`
				After   map[string]any `json:"after"`
			} `json:"change"`
		} `json:"resource_changes"`
	}
	if err := json.Unmarshal([]byte(d.run("show", "-json", "plan")), &plan); err != nil {
		d.t.Fatal(err)
	}
	if d.rows > 0 && len(plan.Changes) != d.rows {
		d.t.Errorf("terraform's plan is about %d resources, want %d", len(plan.Changes), d.rows)
	}
	var changes []string
	for _, c := range plan.Changes {
		action := strings.Join(c.Change.Actions, ", ")
		if action == "no-op" || action == "read" { // the latter is of data sources
			continue
		}
		var arguments []string
		for name := range c.Change.After {
			// tags_all says the same as tags once more.
			if name != "tags_all" && !cmp.Equal(c.Change.Before[name], c.Change.After[name]) {
				arguments = append(arguments, name)
			}
		}
		slices.Sort(arguments)
		changes = append(changes, fmt.Sprintf("%s: %s %s", c.Address, action, strings.Join(arguments, " ")))
	}
	return changes
}
