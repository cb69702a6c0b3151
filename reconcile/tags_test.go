package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

func TestTagsChanges(t *testing.T) {
	t.Parallel()
	const stack = "churn/dev"
	type tags = map[string]string
	tests := []struct {
		name   string
		want   tags
		ignore []string
		live   tags
		put    tags
		remove []string
		diffs  []reconcile.Diff
	}{
		{
			name: "in sync",
			want: tags{"a": "1"},
			live: tags{"a": "1", reconcile.Mark: stack},
		},
		{
			name: "a value differs",
			want: tags{"a": "1"},
			live: tags{"a": "2", reconcile.Mark: stack},
			put:  tags{"a": "1"}, diffs: []reconcile.Diff{{Path: "tags.a", Before: "2", After: "1"}},
		},
		{
			name: "case matters",
			want: tags{"a": "x"},
			live: tags{"A": "x", reconcile.Mark: stack},
			put:  tags{"a": "x"}, remove: []string{"A"},
			diffs: []reconcile.Diff{{Path: "tags.A", Before: "x"}, {Path: "tags.a", After: "x"}},
		},
		{
			name: "an empty value is not an absent key",
			want: tags{"a": ""},
			live: tags{reconcile.Mark: stack},
			put:  tags{"a": ""}, diffs: []reconcile.Diff{{Path: "tags.a", After: ""}},
		},
		{
			name: "an empty value that is there",
			want: tags{"a": ""},
			live: tags{"a": "", reconcile.Mark: stack},
		},
		{
			name: "adopted",
			want: tags{"a": "1"},
			live: tags{"a": "1"},
			put:  tags{reconcile.Mark: stack},
			diffs: []reconcile.Diff{
				{Path: "tags.churn-reconcile:stack", After: stack},
			},
		},
		{
			name:   "other keys are drift",
			want:   tags{},
			live:   tags{"z": "1", "b": "2", reconcile.Mark: stack},
			remove: []string{"b", "z"},
			diffs:  []reconcile.Diff{{Path: "tags.b", Before: "2"}, {Path: "tags.z", Before: "1"}},
		},
		{
			name: "not managed",
			live: tags{"z": "1", reconcile.Mark: stack},
		},
		{
			name: "not managed, save the mark",
			live: tags{"z": "1"},
			put:  tags{reconcile.Mark: stack}, diffs: []reconcile.Diff{{Path: "tags.churn-reconcile:stack", After: stack}},
		},
		{
			name:   "keys of others",
			want:   tags{},
			ignore: []string{"org:*"},
			live: tags{
				"org:team": "x", "aws:cloudformation:stack-name": "x", "AWS:x": "x",
				"churn-reconcile:key": "x", reconcile.Mark: stack,
			},
		},
		{
			name:   "keys that are only like those of others",
			want:   tags{},
			ignore: []string{"org:*"},
			live:   tags{"org": "x", "aws": "x", "awsx": "x", "churn-reconcile": "x", reconcile.Mark: stack},
			remove: []string{"aws", "awsx", "churn-reconcile", "org"},
			diffs: []reconcile.Diff{
				{Path: "tags.aws", Before: "x"},
				{Path: "tags.awsx", Before: "x"},
				{Path: "tags.churn-reconcile", Before: "x"},
				{Path: "tags.org", Before: "x"},
			},
		},
		{
			name:   "an ignored key that the spec gives",
			want:   tags{"org:team": "y"},
			ignore: []string{"org:*"},
			live:   tags{"org:team": "x", reconcile.Mark: stack},
			put:    tags{"org:team": "y"},
			diffs:  []reconcile.Diff{{Path: "tags.org:team", Before: "x", After: "y"}},
		},
		{
			name: "the spec can change neither the mark nor keys of AWS",
			want: tags{"aws:x": "y", reconcile.Mark: "other"},
			live: tags{"aws:x": "x", reconcile.Mark: stack},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tags := reconcile.Tags{Want: test.want, Ignore: test.ignore, Stack: stack}
			c, err := tags.Changes(test.live)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.put, c.Put); d != "" {
				t.Errorf("put: %s", d)
			}
			if d := cmp.Diff(test.remove, c.Remove); d != "" {
				t.Errorf("remove: %s", d)
			}
			if d := cmp.Diff(test.diffs, c.Lines); d != "" {
				t.Errorf("lines: %s", d)
			}
		})
	}
}

func TestTagsOwned(t *testing.T) {
	t.Parallel()
	tags := reconcile.Tags{Want: map[string]string{"a": "1"}, Stack: "churn/dev"}
	c, err := tags.Changes(map[string]string{reconcile.Mark: "churn/prod"})
	owned, ok := errors.AsType[*reconcile.OwnedError](err)
	if !ok || owned.Owner != "churn/prod" {
		t.Errorf("error %v, want an OwnedError of churn/prod", err)
	}
	if d := cmp.Diff(reconcile.TagChanges{}, c); d != "" {
		t.Errorf("somebody else's resource would be touched: %s", d)
	}
}

func TestTagsCreate(t *testing.T) {
	t.Parallel()
	want := map[string]string{"a": "1"}
	tags := reconcile.Tags{Want: want, Stack: "churn/dev"}
	if d := cmp.Diff(map[string]string{"a": "1", reconcile.Mark: "churn/dev"}, tags.Create()); d != "" {
		t.Error(d)
	}
	if len(want) != 1 {
		t.Errorf("the spec's own map was changed: %v", want)
	}
	// What a create call carries leaves nothing to do.
	if c, err := tags.Changes(tags.Create()); c.Lines != nil || err != nil {
		t.Errorf("after create: %v, %v", c, err)
	}
}

func TestTagsWhole(t *testing.T) {
	t.Parallel()
	live := map[string]string{
		"a": "old", "drift": "x", "org:team": "x", "aws:x": "x", "churn-reconcile:key": "x",
	}
	tests := []struct {
		name string
		want map[string]string
		all  map[string]string
	}{
		{"managed", map[string]string{"a": "1"}, map[string]string{
			"a": "1", "org:team": "x", "churn-reconcile:key": "x", reconcile.Mark: "churn/dev",
		}},
		{"not managed", nil, map[string]string{
			"a": "old", "drift": "x", "org:team": "x", "churn-reconcile:key": "x", reconcile.Mark: "churn/dev",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tags := reconcile.Tags{Want: test.want, Ignore: []string{"org:*"}, Stack: "churn/dev"}
			whole := tags.Whole(live)
			if d := cmp.Diff(test.all, whole); d != "" {
				t.Error(d)
			}
			// Writing all of them is what Changes asks for, key by key.
			if c, err := tags.Changes(whole); c.Lines != nil || err != nil {
				t.Errorf("after writing them: %v, %v", c, err)
			}
		})
	}
}

// Each case is told by the calls, a line each, and what is there after them.
func TestTagSteps(t *testing.T) {
	t.Parallel()
	const stack = "churn/dev"
	type tags = map[string]string
	full := func(more ...string) tags {
		all := tags{reconcile.Mark: stack}
		for i := range 49 - len(more) {
			all[fmt.Sprintf("k%02d", i)] = "v"
		}
		for _, key := range more {
			all[key] = "v"
		}
		return all
	}
	unmarked := func(all tags) tags {
		all = maps.Clone(all)
		delete(all, reconcile.Mark)
		return all
	}
	aws := full("old")
	aws["aws:cloudformation:stack-name"] = "s"
	delete(aws, "k00")
	for _, test := range []struct {
		name     string
		want     tags
		live     tags
		foldCase bool
		calls    []string
	}{
		{name: "in sync", want: tags{"a": "1"}, live: tags{"a": "1", reconcile.Mark: stack}},
		{
			name: "a key renamed", want: tags{"new": "v"}, live: tags{"old": "v", reconcile.Mark: stack},
			calls: []string{"tag tags.new", "untag tags.old"},
		},
		{
			name: "a key renamed where there is no room", want: unmarked(full("new")), live: full("old"),
			calls: []string{"untag tags.old", "tag tags.new"},
		},
		{
			name: "where the room is just enough", want: func() tags { w := unmarked(full("new")); delete(w, "k00"); return w }(),
			live:  func() tags { l := full("old"); delete(l, "k00"); return l }(),
			calls: []string{"tag tags.new", "untag tags.old"},
		},
		{
			name: "AWS's own tags take no room", want: func() tags { w := unmarked(full("new")); delete(w, "k00"); return w }(), live: aws,
			calls: []string{"tag tags.new", "untag tags.old"},
		},
		{
			name: "a value changed where there is no room", want: func() tags { w := unmarked(full()); w["k00"] = "w"; delete(w, "k01"); return w }(), live: full(),
			calls: []string{"tag tags.k00", "untag tags.k01"},
		},
		{
			name: "a key in another case", want: tags{"Project": "p"}, live: tags{"project": "p", reconcile.Mark: stack},
			calls: []string{"tag tags.Project", "untag tags.project"},
		},
		{
			name: "a key in another case, folded", want: tags{"Project": "p"}, live: tags{"project": "p", "other": "x", reconcile.Mark: stack}, foldCase: true,
			calls: []string{"tag tags.Project tags.project", "untag tags.other"},
		},
		{
			name: "a key in another case, folded, where there is no room", want: unmarked(full("Project")), live: full("project"), foldCase: true,
			calls: []string{"tag tags.Project tags.project"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			live := maps.Clone(test.live)
			most := len(live)
			tags := reconcile.Tags{Want: test.want, Stack: stack, FoldCase: test.foldCase}
			c, err := tags.Changes(test.live)
			if err != nil {
				t.Fatal(err)
			}
			steps := reconcile.Steps{For: spec.ID{Kind: spec.Role, Name: "r"}}
			steps.Tag(c,
				"tag", func(context.Context) error {
					for key, value := range c.Put {
						if test.foldCase {
							maps.DeleteFunc(live, func(old, _ string) bool { return strings.EqualFold(old, key) })
						}
						live[key] = value
					}
					ours := maps.Clone(live)
					delete(ours, "aws:cloudformation:stack-name")
					most = max(most, len(ours))
					return nil
				},
				"untag", func(context.Context) error {
					for _, key := range c.Remove {
						maps.DeleteFunc(live, func(old, _ string) bool { return old == key || test.foldCase && strings.EqualFold(old, key) })
					}
					return nil
				})
			var calls []string
			for _, s := range steps.List {
				call := s.Call
				for _, d := range s.Diffs {
					call += " " + d.Path
				}
				calls = append(calls, call)
				if err := s.Do(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(test.calls, calls); d != "" {
				t.Errorf("calls (-want +got):\n%s", d)
			}
			if most > 50 {
				t.Errorf("%d tags at a time", most)
			}
			if c, err := tags.Changes(live); c.Lines != nil || err != nil {
				t.Errorf("after the calls: %v, %v", c.Lines, err)
			}
		})
	}
}
