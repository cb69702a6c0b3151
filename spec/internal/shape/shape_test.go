package shape

import (
	"reflect"
	"testing"

	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

func TestName(t *testing.T) {
	for have, want := range map[string]string{
		"ID":               "id",
		"Name":             "name",
		"KmsKeyId":         "kmsKeyId",
		"KMSMasterKeyID":   "kmsMasterKeyID",
		"S3BucketName":     "s3BucketName",
		"SSEAlgorithm":     "sseAlgorithm",
		"SizeInGiB":        "sizeInGiB",
		"EfsVolumeOptions": "efsVolumeOptions",
		"A":                "a",
		"already":          "already",
		"":                 "",
	} {
		if got := Name(have); got != want {
			t.Errorf("Name(%q) = %q, want %q", have, got, want)
		}
	}
}

func TestFields(t *testing.T) {
	type inner struct {
		Tags string `yaml:"tags"`
	}
	type outer struct {
		inner         // unexported and untagged: none of a spec's business
		Lifted inner  `yaml:",inline"`
		Name   string `yaml:"name" required:"true"`
		Mode   string `yaml:"mode" enum:"A B"`
		Hidden string `yaml:"-"`
		Plain  ecstypes.Secret
		Union  ecstypes.SharingStrategy
	}
	type line struct {
		Name     string
		Required bool
		Enum     []string
	}
	var got []line
	for _, f := range Fields(reflect.TypeFor[outer]()) {
		got = append(got, line{f.Name, f.Required, f.Enum})
		if v := reflect.New(reflect.TypeFor[outer]()).Elem().FieldByIndex(f.Index); v.Type() != f.Type {
			t.Errorf("%s: the index leads to a %s", f.Name, v.Type())
		}
	}
	want := []line{{"tags", false, []string{}}, {"name", true, []string{}}, {"mode", false, []string{"A", "B"}}, {"plain", false, []string{}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	for _, f := range Fields(reflect.TypeFor[ecstypes.Secret]()) {
		if !f.Required {
			t.Errorf("%s of a secret is not required", f.Name)
		}
	}
}
