package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// firstSpec is what init writes: its values are put in the place of @words.
const firstSpec = `# What AWS should have. Try it without an account:
#
#   churn-reconcile -f FILE --sandbox
#
# and then for real: first say what would be done, then do it.
#
#   churn-reconcile -f FILE --dry-run
#   churn-reconcile -f FILE
#
# "churn-reconcile explain s3.buckets" says what else can stand in a place.
# A field that is left out is left alone; a field that is given is the truth.

# Together these two mark every resource as this stack's.
project: @project
environment: @environment

region: @region
# With an account given, a run in any other one stops before it writes.
# account: "123456789012"

vars:
  name: @name

# On every resource that can carry tags.
tags:
  Project: ${project}
  Environment: ${environment}

s3:
  buckets:
    # The name of a bucket is unique in all of AWS.
    - name: ${var.name}-data
      versioning: Enabled

logs:
  logGroups:
    - name: /ecs/${var.name}
      retentionInDays: 7

iam:
  policies:
    - name: ${var.name}-data
      document:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action: [s3:GetObject, s3:PutObject, s3:ListBucket]
            # The address of a resource of this file, and what is wanted of it.
            Resource:
              - ${s3.bucket/${var.name}-data.arn}
              - ${s3.bucket/${var.name}-data.arn}/*

  roles:
    - name: ${var.name}-task
      assumeRolePolicy:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal: {Service: ecs-tasks.amazonaws.com}
            Action: sts:AssumeRole
      policies: ["${var.name}-data"]   # exactly these are attached
      inlinePolicies: {}               # and none is written into the role itself

# Printed by each run, and by "churn-reconcile outputs -f FILE".
outputs:
  bucket: ${s3.bucket/${var.name}-data.name}
  role: ${iam.role/${var.name}-task.arn}
`

func newInit(env Env) *cobra.Command {
	var project, environment, region, path string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Print a small commented spec to start from",
		Example: `  churn-reconcile init --project churn --environment dev > churn-reconcile.yaml
  churn-reconcile init --project churn --environment dev -f churn-reconcile.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("region") {
				for _, name := range []string{"AWS_DEFAULT_REGION", "AWS_REGION"} {
					if v, ok := env.LookupEnv(name); ok && v != "" {
						region = v
					}
				}
			}
			text, err := writeSpec(project, environment, region)
			if err != nil {
				return err
			}
			if path == "" || path == "-" {
				_, err := io.WriteString(env.Stdout, text)
				return err
			}
			if err := writeNew(path, text); err != nil {
				return err
			}
			_, err = fmt.Fprintf(env.Stderr, "Wrote %s. Try it: churn-reconcile -f %s --sandbox\n", path, path)
			return err
		},
	}
	cmd.Flags().StringVar(&project, "project", "my-project", "`NAME` of the project")
	cmd.Flags().StringVar(&environment, "environment", "dev", "`NAME` of the environment")
	cmd.Flags().StringVar(&region, "region", "eu-north-1", "AWS `REGION`; AWS_REGION in the environment stands over the default")
	cmd.Flags().StringVarP(&path, "file", "f", "", "write to `PATH`, which must not exist yet, in place of standard output")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	return cmd
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// writeSpec is the first spec for a stack. What is wrong with a name is said
// of the flag that gave it.
func writeSpec(project, environment, region string) (string, error) {
	// What names resources has to serve for a bucket, whose name is the
	// shortest and the strictest.
	const longest = 50
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(project+"-"+environment), "-"), "-")
	if name = strings.Trim(name[:min(len(name), longest)], "-"); name == "" {
		name = "stack"
	}
	text := strings.NewReplacer(
		"@project", scalarText(project), "@environment", scalarText(environment),
		"@region", scalarText(region), "@name", scalarText(name),
	).Replace(firstSpec)
	file, err := spec.Load("-", spec.Options{Stdin: strings.NewReader(text)})
	if err == nil {
		err = file.Check()
	}
	problems, wrong := errors.AsType[spec.Problems](err)
	if !wrong {
		return text, err
	}
	var errs []error
	for _, p := range problems {
		errs = append(errs, errors.New("--"+p.Message)) // which begins with the field, and so the flag
	}
	return "", errors.Join(errs...)
}

var plainWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)

// scalarText is a text as YAML reads it back, references taken for text.
func scalarText(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		return strconv.Quote(s)
	}
	if plainWord.MatchString(s) {
		return s
	}
	return strings.ReplaceAll(strconv.Quote(s), "${", "$${")
}

// writeNew writes a file that is not there yet.
func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; it is left as it is", path)
	}
	if err != nil {
		return fmt.Errorf("write the spec: %w", err)
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
