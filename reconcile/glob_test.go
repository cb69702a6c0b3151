package reconcile_test

import (
	"strings"
	"testing"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

func TestGlob(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{"", []string{""}, []string{"a"}},
		{"a", []string{"a"}, []string{"", "A", "aa"}},
		{"*", []string{"", "a", "a:b/c\n"}, nil},
		{"**", []string{"", "a"}, nil},
		{"org:*", []string{"org:", "org:team:x", "org:a/b"}, []string{"org", "xorg:a"}},
		{"*/dev", []string{"/dev", "a/b/dev", "dev/dev/dev"}, []string{"dev", "a/dev/"}},
		{"iam.*/ml-*", []string{"iam.role/ml-x", "iam.user/ml-"}, []string{"iamXrole/ml-x", "iam.role/xml-"}},
		{"a*b*c", []string{"abc", "abbc", "a-b-c-b-c"}, []string{"acb", "ab", "abcd"}},
		{"?", []string{"a", "é", "/"}, []string{"", "ab"}},
		{"a?*", []string{"ab", "abc"}, []string{"a"}},
		{"*?", []string{"a", "ab"}, []string{""}},
		{"[a]", []string{"[a]"}, []string{"a"}},
		{`\*`, []string{`\`, `\a`}, []string{"*"}},
		{"{a,b}", []string{"{a,b}"}, []string{"a"}},
		{"a.b", []string{"a.b"}, []string{"axb"}},
	}
	for _, test := range tests {
		for _, s := range test.yes {
			if !reconcile.Glob(test.pattern, s) {
				t.Errorf("Glob(%q, %q) = false", test.pattern, s)
			}
		}
		for _, s := range test.no {
			if reconcile.Glob(test.pattern, s) {
				t.Errorf("Glob(%q, %q) = true", test.pattern, s)
			}
		}
	}
}

// Trying every way to split the text between the stars would not end.
func TestGlobManyStars(t *testing.T) {
	t.Parallel()
	pattern := strings.Repeat("a*", 200) + "b"
	text := strings.Repeat("a", 2000)
	if reconcile.Glob(pattern, text) {
		t.Error("matches without the b")
	}
	if !reconcile.Glob(pattern, text+"b") {
		t.Error("does not match with the b")
	}
}
