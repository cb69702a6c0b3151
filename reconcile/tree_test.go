package reconcile_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

type (
	object = map[string]any
	list   = []any
)

func TestCompare(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		before, after any
		want          []reconcile.Diff
	}{
		{"nothing", nil, nil, nil},
		{"same", object{"a": list{"x", object{"b": true}}}, object{"a": list{"x", object{"b": true}}}, nil},
		{"scalar", "a", "b", []reconcile.Diff{{Path: "p", Before: "a", After: "b"}}},
		{"absent is not empty text", nil, "", []reconcile.Diff{{Path: "p", After: ""}}},
		{"absent is not false", nil, false, []reconcile.Diff{{Path: "p", After: false}}},
		{"absent is not zero", nil, 0, []reconcile.Diff{{Path: "p", After: 0}}},
		{"text is not a number", "1", 1, []reconcile.Diff{{Path: "p", Before: "1", After: 1}}},
		{"text is not a bool", "true", true, []reconcile.Diff{{Path: "p", Before: "true", After: true}}},
		{
			"numbers of any type",
			list{1, int32(2), int64(3), 4.0, json.Number("5"), json.Number("6.50")},
			list{1.0, 2, json.Number("3"), json.Number("4.0"), 5, 6.5},
			nil,
		},
		{
			"large numbers", json.Number("12345678901234567890"), json.Number("12345678901234567891"),
			[]reconcile.Diff{{Path: "p", Before: json.Number("12345678901234567890"), After: json.Number("12345678901234567891")}},
		},
		{
			"numbers too large for any type", json.Number("1e999"), json.Number("1e998"),
			[]reconcile.Diff{{Path: "p", Before: json.Number("1e999"), After: json.Number("1e998")}},
		},
		{"nil is an absent key", object{"a": nil}, object{}, nil},
		{
			"map",
			object{"a": "1", "b": "2", "c": "3"},
			object{"b": "2", "c": "4", "d": "5"},
			[]reconcile.Diff{
				{Path: "p.a", Before: "1"},
				{Path: "p.c", Before: "3", After: "4"},
				{Path: "p.d", After: "5"},
			},
		},
		{
			"what appears is listed by leaf", nil,
			object{"a": object{"b": "1", "c": list{"x"}}},
			[]reconcile.Diff{{Path: "p.a.b", After: "1"}, {Path: "p.a.c[0]", After: "x"}},
		},
		{
			"what disappears is listed by leaf",
			object{"a": list{object{"name": "n", "x": 1}}},
			nil,
			[]reconcile.Diff{{Path: "p.a[n].name", Before: "n"}, {Path: "p.a[n].x", Before: 1}},
		},
		{"an empty map is a leaf", nil, object{}, []reconcile.Diff{{Path: "p", After: object{}}}},
		{"an empty list is a leaf", list{}, nil, []reconcile.Diff{{Path: "p", Before: list{}}}},
		{"empty against empty", object{"a": list{}}, object{"a": list{}}, nil},
		{"emptied", object{"a": list{"x"}}, object{"a": list{}}, []reconcile.Diff{{Path: "p.a[0]", Before: "x"}}},
		{"another type", object{"a": list{"x"}}, object{"a": "x"}, []reconcile.Diff{{Path: "p.a", Before: list{"x"}, After: "x"}}},
		{"list against map", list{}, object{}, []reconcile.Diff{{Path: "p", Before: list{}, After: object{}}}},
		{
			"by position",
			list{"a", "b"},
			list{"b", "a", "c"},
			[]reconcile.Diff{
				{Path: "p[0]", Before: "a", After: "b"},
				{Path: "p[1]", Before: "b", After: "a"},
				{Path: "p[2]", After: "c"},
			},
		},
		{
			"by name",
			list{object{"name": "x", "image": "1"}, object{"name": "y", "image": "1"}},
			list{object{"name": "y", "image": "2"}, object{"name": "x", "image": "1"}},
			[]reconcile.Diff{{Path: "p[y].image", Before: "1", After: "2"}},
		},
		{
			"by name, come and gone",
			list{object{"name": "x", "value": "1"}},
			list{object{"name": "y", "value": "1"}},
			[]reconcile.Diff{
				{Path: "p[x].name", Before: "x"},
				{Path: "p[x].value", Before: "1"},
				{Path: "p[y].name", After: "y"},
				{Path: "p[y].value", After: "1"},
			},
		},
		{"by id", list{object{"id": "x"}, object{"id": "y"}}, list{object{"id": "y"}, object{"id": "x"}}, nil},
		{"by ID", list{object{"ID": "x"}, object{"ID": "y"}}, list{object{"ID": "y"}, object{"ID": "x"}}, nil},
		{"by key", list{object{"key": "x"}, object{"key": "y"}}, list{object{"key": "y"}, object{"key": "x"}}, nil},
		{"by Sid", list{object{"Sid": "x"}, object{"Sid": "y"}}, list{object{"Sid": "y"}, object{"Sid": "x"}}, nil},
		{
			"a name that is there twice is none",
			list{object{"name": "x"}, object{"name": "y"}},
			list{object{"name": "x"}, object{"name": "x"}},
			[]reconcile.Diff{{Path: "p[1].name", Before: "y", After: "x"}},
		},
		{
			"a name that one has not",
			list{object{"name": "x"}, object{"name": "y"}},
			list{object{"name": "y"}, object{"n": "x"}},
			[]reconcile.Diff{
				{Path: "p[0].name", Before: "x", After: "y"},
				{Path: "p[1].n", After: "x"},
				{Path: "p[1].name", Before: "y"},
			},
		},
		{
			"natural order",
			list{},
			list{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"},
			[]reconcile.Diff{
				{Path: "p[0]", After: "0"},
				{Path: "p[1]", After: "1"},
				{Path: "p[2]", After: "2"},
				{Path: "p[3]", After: "3"},
				{Path: "p[4]", After: "4"},
				{Path: "p[5]", After: "5"},
				{Path: "p[6]", After: "6"},
				{Path: "p[7]", After: "7"},
				{Path: "p[8]", After: "8"},
				{Path: "p[9]", After: "9"},
				{Path: "p[10]", After: "10"},
			},
		},
		{
			"natural order of keys",
			object{},
			object{"a10": 1, "a9": 1, "a09": 1, "a": 1, "b1": 1, "B1": 1},
			[]reconcile.Diff{
				{Path: "p.B1", After: 1},
				{Path: "p.a", After: 1},
				{Path: "p.a9", After: 1},
				{Path: "p.a09", After: 1},
				{Path: "p.a10", After: 1},
				{Path: "p.b1", After: 1},
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := reconcile.Compare("p", test.before, test.after)
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
			// The other way round the same lines say the opposite.
			var opposite []reconcile.Diff
			for _, d := range test.want {
				opposite = append(opposite, reconcile.Diff{Path: d.Path, Before: d.After, After: d.Before})
			}
			if d := cmp.Diff(opposite, reconcile.Compare("p", test.after, test.before)); d != "" {
				t.Errorf("the other way round: %s", d)
			}
		})
	}
}

func TestCompareAtRoot(t *testing.T) {
	t.Parallel()
	got := reconcile.Compare("", object{"a": object{"b": "1"}}, nil)
	if d := cmp.Diff([]reconcile.Diff{{Path: "a.b", Before: "1"}}, got); d != "" {
		t.Error(d)
	}
}
