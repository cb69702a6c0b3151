package ecr

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A repository goes with its images where the spec says so, and is held by them
// where it does not.
func TestDeleteRepository(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		images int
		tags   int // of each
		force  bool
		held   string
		code   string // of the deletion, whatever holds it
	}{
		{0, 0, false, "", ""},
		{1, 3, false, "1 image", "RepositoryNotEmptyException"},
		{2, 0, false, "2 images", "RepositoryNotEmptyException"},
		{2, 1, true, "", ""},
	} {
		t.Run(fmt.Sprintf("%d images, force %v", tt.images, tt.force), func(t *testing.T) {
			t.Parallel()
			server, err := sandbox.New(sandbox.Options{})
			if err != nil {
				t.Fatal(err)
			}
			endpoint := httptest.NewServer(server)
			t.Cleanup(endpoint.Close)
			api := ecr.New(ecr.Options{
				Region: "eu-north-1", BaseEndpoint: &endpoint.URL, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
			})
			ctx, want := t.Context(), spec.ECRRepository{Name: "repo", ForceDelete: tt.force}
			if _, err := api.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: &want.Name}); err != nil {
				t.Fatal(err)
			}
			for i := range tt.images {
				for j := range max(1, tt.tags) {
					in := &ecr.PutImageInput{RepositoryName: &want.Name, ImageManifest: aws.String(fmt.Sprint(i))}
					if tt.tags > 0 {
						in.ImageTag = aws.String(fmt.Sprintf("t%d-%d", i, j))
					}
					if _, err := api.PutImage(ctx, in); err != nil {
						t.Fatal(err)
					}
				}
			}
			kind := NewRepositories(api, environment(), nil)
			holders, err := kind.Holders(ctx, Live{Exists: true}, want)
			if err != nil || len(holders) > 1 || len(holders) == 1 && (holders[0].What != tt.held || holders[0].Do == "") || len(holders) == 0 && tt.held != "" {
				t.Errorf("held by %v, %v; want %q", holders, err, tt.held)
			}
			steps, err := kind.Delete(Live{Exists: true}, want)
			if err != nil || len(steps) != 1 || steps[0].Call != "ecr:DeleteRepository" {
				t.Fatalf("steps %v, %v", calls(steps), err)
			}
			for range 2 { // again, as after a lost answer
				if err := steps[0].Do(ctx); awsx.Code(err) != tt.code || (err != nil) != (tt.code != "") {
					t.Errorf("deleted: %v, want %q", err, tt.code)
				}
			}
			if tags, err := kind.Tags(ctx, want); err != nil || (tags == nil) != (tt.code == "") {
				t.Errorf("it has the tags %v, %v", tags, err)
			}
			if tt.code != "" {
				return
			}
			if holders, err := kind.Holders(ctx, Live{Exists: true}, want); err != nil || len(holders) > 0 {
				t.Errorf("what is gone is held by %v, %v", holders, err)
			}
		})
	}
}
