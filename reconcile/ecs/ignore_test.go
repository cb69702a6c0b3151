package ecs

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// filled sets every field that v can reach, so that one that a newer SDK adds
// is tested as well.
func filled(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				filled(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		filled(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		e := reflect.New(v.Type().Elem()).Elem()
		filled(e)
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), e)
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Interface:
		if v.Type() != reflect.TypeFor[types.SharingStrategy]() {
			panic("a union that input does not know: " + v.Type().String())
		}
		s := &types.SharingStrategyMemberNvidiaMps{}
		filled(reflect.ValueOf(s).Elem())
		v.Set(reflect.ValueOf(s))
	default:
		panic("a kind that the tree does not know: " + v.Type().String())
	}
}

// sent is what the SDK puts on the wire.
func sent(t *testing.T, call func(*ecs.Client) error) map[string]any {
	t.Helper()
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, "{}")
	}))
	defer srv.Close()
	err := call(ecs.New(ecs.Options{
		Region: "eu-north-1", BaseEndpoint: &srv.URL,
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	}))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, body)
}

func decode(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var tree map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

// The tree has the names that the API has, for every field of the SDK's types:
// the SDK's own serializer is the judge.
func TestTreeIsWhatTheAPIIsSent(t *testing.T) {
	t.Parallel()
	definition := &ecs.RegisterTaskDefinitionInput{}
	filled(reflect.ValueOf(definition).Elem())
	cluster := &ecs.CreateClusterInput{}
	filled(reflect.ValueOf(cluster).Elem())
	tests := []struct {
		name string
		in   any
		call func(*ecs.Client) error
	}{
		{"task definition", definition, func(c *ecs.Client) error {
			_, err := c.RegisterTaskDefinition(t.Context(), definition)
			return err
		}},
		{"cluster", cluster, func(c *ecs.Client) error {
			_, err := c.CreateCluster(t.Context(), cluster)
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(spec.ShapeTree(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(sent(t, tt.call), decode(t, text)); d != "" {
				t.Errorf("sent (-), tree (+):\n%s", d)
			}
		})
	}
}

// Nothing of what is live gets lost on the way into a tree and back.
func TestDefinition(t *testing.T) {
	t.Parallel()
	want := spec.ECSTaskDefinition{}
	filled(reflect.ValueOf(&want).Elem())
	want.Meta = spec.Meta{}
	got, err := definition(spec.Tree(want))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), unexported()); d != "" {
		t.Errorf("want (-), got (+):\n%s", d)
	}
}

// Everything that ECS can be told of a task definition comes from the spec or
// is carried from the last revision, so that a field that AWS adds is not lost
// in silence.
func TestRegistrationIsWhole(t *testing.T) {
	t.Parallel()
	revision := types.TaskDefinition{}
	filled(reflect.ValueOf(&revision).Elem())
	revision.Status = types.TaskDefinitionStatusActive
	rec := &recorder{}
	kind := TaskDefinitions{rec, environment()}
	live := kind.live(revision)
	if err := kind.register(t.Context(), live, live.Is, map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	in := reflect.ValueOf(*rec.in)
	for i := range in.NumField() {
		if f := in.Type().Field(i); f.IsExported() && in.Field(i).IsZero() {
			t.Errorf("%s of the last revision is lost", f.Name)
		}
	}
}

// unexported leaves out the marker that the SDK puts into each of its types.
func unexported() cmp.Option {
	return cmp.FilterPath(func(p cmp.Path) bool {
		f, ok := p.Last().(cmp.StructField)
		return ok && f.Name() == "noSmithyDocumentSerde"
	}, cmp.Ignore())
}
