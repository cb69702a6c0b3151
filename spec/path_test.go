package spec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitPath(t *testing.T) {
	t.Parallel()
	tests := []struct {
		path string
		want []string
	}{
		{"cpu", []string{"cpu"}},
		{"containerDefinitions.*.image", []string{"containerDefinitions", "*", "image"}},
		{"containerDefinitions[web].image", []string{"containerDefinitions", "web", "image"}},
		{"containerDefinitions[web]", []string{"containerDefinitions", "web"}},
		{"a[b][c]", []string{"a", "b", "c"}},
		{"dockerLabels[com.example.build]", []string{"dockerLabels", "com.example.build"}},
		{"", []string{""}},
		{"a..b", []string{"a", "", "b"}},
		{"a.", []string{"a", ""}},
		{"a[b].", []string{"a", "b", ""}},
		{"a[b", []string{"a", "b"}},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, SplitPath(tt.path)); d != "" {
			t.Errorf("%q, want (-), got (+):\n%s", tt.path, d)
		}
	}
}
