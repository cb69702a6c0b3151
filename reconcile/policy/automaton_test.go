package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestMatches(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"*", "", true},
		{"?", "", false},
		{"a*b*c", "aXbXbc", true},
		{"a*b*c", "aXbXb", false},
		{"*ab", "aab", true},
		{"a?", "é", false},
		{"?", "é", true},
		{"**?", "a", true},
	}
	for _, test := range tests {
		if got := matches(compile(test.pattern, syntax{wildcards: true}).tokens, test.text); got != test.want {
			t.Errorf("%q matches %q = %v", test.pattern, test.text, got)
		}
	}
}

func TestARN(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern, text string
		want          bool
	}{
		{"*", "*", true},
		{"arn:aws:s3:::*", "*", false},
		{"arn:aws:s3:::*", "arn:aws:s3:::b/a:b", true},
		{"arn:aws:*", "arn:aws:sqs:r:1:q", true},
		{"arn:aws:sqs:*:q", "arn:aws:sqs:r:1:q", false},
		{"arn:aws:logs:*:log-group:x", "arn:aws:logs:r:1:log-group:x", false},
		{"arn:aws:s3*:::b", "arn:aws:s3-outposts:::b", true},
		{"arn:aws:logs:*:*:log-group:/a*:*", "arn:aws:logs:r:1:log-group:/a/b:log-stream:x", true},
	}
	for _, test := range tests {
		if got := matches(compileARN(test.pattern, syntax{wildcards: true}).tokens, test.text); got != test.want {
			t.Errorf("%q matches %q = %v", test.pattern, test.text, got)
		}
	}
}

func TestClasses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		patterns []string
		want     []string
	}{
		{nil, []string{"x:x"}},
		{[]string{"s3:*"}, []string{"s3:x", "x:x"}},
		{[]string{"s3:get*", "s3:*object"}, []string{"s3:getobject", "s3:getx", "s3:xobject", "x:x"}},
		{[]string{"s3:?", "s3:a"}, []string{"s3:a", "s3:x", "x:x"}},
	}
	for _, test := range tests {
		var patterns []*pattern
		for _, p := range test.patterns {
			patterns = append(patterns, compile(p, syntax{wildcards: true}))
		}
		found, err := classes([]*pattern{actionShape}, patterns)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, c := range found {
			got[c.example] = true
			if bits(membership(patterns, c.example)) != bits(c.in) {
				t.Errorf("%v: %s is of another class than %v", test.patterns, c.example, c.in)
			}
		}
		if len(got) != len(test.want) {
			t.Errorf("%v: %v, want %v", test.patterns, got, test.want)
			continue
		}
		for _, text := range test.want {
			c := bits(membership(patterns, text))
			n := 0
			for example := range got {
				if bits(membership(patterns, example)) == c {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%v: %d examples of %s's class: %v", test.patterns, n, text, got)
			}
		}
	}
}

func TestTooManyStates(t *testing.T) {
	t.Parallel()
	var patterns []*pattern
	for i := range 24 {
		patterns = append(patterns, compile(fmt.Sprintf("*%c*%c*", 'a'+i, 'b'+i), syntax{wildcards: true}))
	}
	if _, err := classes([]*pattern{compile("*", syntax{wildcards: true})}, patterns); !errors.Is(err, errTooManyStates) {
		t.Errorf("error %v", err)
	}
	var actions []string
	for i := range 24 {
		actions = append(actions, fmt.Sprintf(`"s3:*%c*%c*"`, 'a'+i, 'b'+i))
	}
	p, err := Compile("p", []byte(`{"Statement":{"Effect":"Allow","Action":[`+strings.Join(actions, ",")+`],"Resource":"*"}}`))
	if err != nil {
		t.Fatal(err)
	}
	changes := Access(Scope{Principal: Principal{"AWS", "arn:aws:iam::123456789012:user/joe"}}, Set{}, Set{Identity: []*Policy{p}})
	if len(changes) != 1 || changes[0].Direction != Unclear || !strings.Contains(changes[0].Why, errTooManyStates.Error()) {
		t.Errorf("changes %v", changes)
	}
}

// FuzzMatches holds matches to regexp and to classes.
func FuzzMatches(f *testing.F) {
	f.Add("a*b?c", "a*", "axbxc")
	f.Add("*", "", "")
	f.Add("arn:aws:s3:::b/*", "arn:*:*:*:*:*", "arn:aws:s3:::b/k")
	f.Fuzz(func(t *testing.T, one, two, text string) {
		if len(one)+len(two) > 40 || strings.ContainsAny(one+two+text, "\n\r") {
			return
		}
		a, b := compile(one, syntax{wildcards: true}), compile(two, syntax{wildcards: true})
		expr := regexp.QuoteMeta(one)
		expr = strings.ReplaceAll(strings.ReplaceAll(expr, `\*`, "(?s:.*)"), `\?`, "(?s:.)")
		re, err := regexp.Compile("^(?:" + expr + ")$")
		if err != nil {
			return // not UTF-8
		}
		if got, want := matches(a.tokens, text), re.MatchString(text); got != want {
			t.Errorf("%q matches %q = %v, and %s does = %v", one, text, got, re, want)
		}
		found, err := classes([]*pattern{compile("*", syntax{wildcards: true})}, []*pattern{a, b})
		if err != nil {
			return
		}
		in := bits(membership([]*pattern{a, b}, text))
		known := false
		for _, c := range found {
			known = known || bits(c.in) == in
		}
		if !known {
			t.Errorf("%q is of no class of %q and %q: %v", text, one, two, found)
		}
	})
}

// FuzzCompile holds that nothing that is read as a policy makes Evaluate or
// Access fail, and that a policy compared with itself has no changes.
func FuzzCompile(f *testing.F) {
	f.Add([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}/*","Condition":{"ForAnyValue:StringLike":{"a:b":["x*","${c:d, 'e'}"]}}}}`))
	f.Add([]byte(`{"Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":["123456789012"]},"NotAction":"*","NotResource":"*"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if len(doc) > 500 {
			return
		}
		p, err := Compile("p", doc)
		if err != nil {
			return
		}
		for _, s := range []Set{{Identity: []*Policy{p}}, {AnyCaller: true, Resource: p}, {AnyCaller: true, Trust: p}, {Boundary: p}} {
			scope := Scope{Account: "123456789012"}
			if !s.AnyCaller {
				scope.Principal = Principal{"AWS", "arn:aws:iam::123456789012:user/joe"}
			}
			for _, c := range Access(scope, s, s) {
				if c.Direction != Unclear {
					t.Errorf("compared with itself: %s", c)
				}
			}
			for _, c := range Access(scope, Set{AnyCaller: s.AnyCaller}, s) {
				if c.Direction != Unclear && Evaluate(c.Witness, s).Verdict != Allow {
					t.Errorf("%s: %+v", c, c.Witness)
				}
			}
		}
	})
}
