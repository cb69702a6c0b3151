package logs

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// AWS's own protection keeps a group, unless the spec turns it off. A spec that
// says nothing of it keeps the group.
func TestDeleteLogGroup(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		protected bool
		want      *bool
		held      bool
		calls     []string
		code      string // of the deletion, whatever holds it
	}{
		{false, nil, false, []string{"logs:DeleteLogGroup"}, ""},
		{true, nil, true, []string{"logs:DeleteLogGroup"}, "ValidationException"},
		{true, aws.Bool(true), true, []string{"logs:DeleteLogGroup"}, "ValidationException"},
		{true, aws.Bool(false), false, []string{"logs:PutLogGroupDeletionProtection", "logs:DeleteLogGroup"}, ""},
		{false, aws.Bool(false), false, []string{"logs:DeleteLogGroup"}, ""},
	} {
		t.Run(fmt.Sprintf("%v, spec %v", tt.protected, tt.want != nil), func(t *testing.T) {
			t.Parallel()
			server, err := sandbox.New(sandbox.Options{})
			if err != nil {
				t.Fatal(err)
			}
			endpoint := httptest.NewServer(server)
			t.Cleanup(endpoint.Close)
			api := cloudwatchlogs.New(cloudwatchlogs.Options{
				Region: "eu-north-1", BaseEndpoint: &endpoint.URL, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
			})
			ctx, want := t.Context(), spec.LogsLogGroup{Name: "/g", DeletionProtectionEnabled: tt.want}
			for _, name := range []string{"/g", "/g/sibling"} {
				if _, err := api.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name, DeletionProtectionEnabled: &tt.protected}); err != nil {
					t.Fatal(err)
				}
			}
			kind := LogGroups{api, environment()}
			live, err := kind.Describe(ctx, spec.LogsLogGroup{Name: "/g"}, false)
			if err != nil {
				t.Fatal(err)
			}
			if holders, err := kind.Holders(ctx, live, want); err != nil || (len(holders) > 0) != tt.held {
				t.Errorf("held by %v, %v; want any: %v", holders, err, tt.held)
			}
			steps, err := kind.Delete(live, want)
			if diff := cmp.Diff(tt.calls, calls(steps)); err != nil || diff != "" {
				t.Fatalf("steps (-want +got):\n%s\n%v", diff, err)
			}
			for range 2 { // again, as after a lost answer
				for _, s := range steps {
					if err := s.Do(ctx); awsx.Code(err) != tt.code || (err != nil) != (tt.code != "") {
						t.Errorf("%s: %v, want %q", s.Call, err, tt.code)
					}
				}
			}
			if tags, err := kind.Tags(ctx, want); err != nil || (tags == nil) != (tt.code == "") {
				t.Errorf("it has the tags %v, %v", tags, err)
			}
			if tags, err := kind.Tags(ctx, spec.LogsLogGroup{Name: "/g/sibling"}); err != nil || tags == nil {
				t.Errorf("the sibling has the tags %v, %v", tags, err)
			}
		})
	}
}

// AWS aborts one of two operations on a group at once.
func TestDeleteLogGroupPatience(t *testing.T) {
	t.Parallel()
	const busy = `{"__type":"OperationAbortedException","message":"m"}`
	api, asked := serve(t, map[string][]string{"DeleteLogGroup": {busy, busy, "{}"}})
	steps, err := LogGroups{api, environment()}.Delete(Live{Exists: true}, spec.LogsLogGroup{Name: "/g"})
	if err != nil {
		t.Fatal(err)
	}
	if err := steps[0].Do(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(asked()); n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
}
