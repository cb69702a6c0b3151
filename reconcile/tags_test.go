package reconcile_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

func TestTagsDiff(t *testing.T) {
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
			put, remove, diffs, err := tags.Diff(test.live)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.put, put); d != "" {
				t.Errorf("put: %s", d)
			}
			if d := cmp.Diff(test.remove, remove); d != "" {
				t.Errorf("remove: %s", d)
			}
			if d := cmp.Diff(test.diffs, diffs); d != "" {
				t.Errorf("diffs: %s", d)
			}
		})
	}
}

func TestTagsOwned(t *testing.T) {
	t.Parallel()
	tags := reconcile.Tags{Want: map[string]string{"a": "1"}, Stack: "churn/dev"}
	put, remove, diffs, err := tags.Diff(map[string]string{reconcile.Mark: "churn/prod"})
	owned, ok := errors.AsType[*reconcile.OwnedError](err)
	if !ok || owned.Owner != "churn/prod" {
		t.Errorf("error %v, want an OwnedError of churn/prod", err)
	}
	if put != nil || remove != nil || diffs != nil {
		t.Errorf("somebody else's resource would be touched: %v, %v, %v", put, remove, diffs)
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
	if put, remove, _, err := tags.Diff(tags.Create()); put != nil || remove != nil || err != nil {
		t.Errorf("after create: put %v, remove %v, %v", put, remove, err)
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
			// Writing all of them is what Diff asks for, key by key.
			if put, remove, _, err := tags.Diff(whole); put != nil || remove != nil || err != nil {
				t.Errorf("after writing them: put %v, remove %v, %v", put, remove, err)
			}
		})
	}
}

func TestSplitTags(t *testing.T) {
	t.Parallel()
	tags := reconcile.Tags{Want: map[string]string{"a": "", "b": "1"}, Stack: "churn/dev"}
	put, remove, diffs, err := tags.Diff(map[string]string{"b": "2", "c": "3"})
	if err != nil {
		t.Fatal(err)
	}
	sets, takes := reconcile.SplitTags(diffs)
	if len(sets) != len(put) || len(put) != 3 || len(takes) != len(remove) || len(remove) != 1 {
		t.Errorf("sets %v for put %v, takes %v for remove %v", sets, put, takes, remove)
	}
}
