package ecs

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// keep puts what is live at paths in the place of what is wanted there, be it
// that it is not there.
func keep(want, live spec.ECSTaskDefinition, paths []string) (spec.ECSTaskDefinition, error) {
	tree, liveTree := spec.Tree(want), spec.Tree(live)
	for _, path := range paths {
		keepAt(tree, liveTree, spec.SplitPath(path))
	}
	kept, err := definition(tree)
	kept.Meta = want.Meta
	return kept, err
}

// keepAt does so for one path. "*" stands for every key of an object and every
// element of a list. Below an element or an object that is not live, what is
// wanted stays: a new container needs an image although images are ignored.
func keepAt(tree, live map[string]any, path []string) {
	key, rest := path[0], path[1:]
	if key == "*" {
		for _, key := range slices.AppendSeq(slices.Collect(maps.Keys(tree)), maps.Keys(live)) {
			keepAt(tree, live, append([]string{key}, rest...))
		}
		return
	}
	if len(rest) == 0 {
		if v, ok := live[key]; ok {
			tree[key] = v
		} else {
			delete(tree, key)
		}
		return
	}
	if was, ok := live[key].(map[string]any); ok {
		if wanted, ok := tree[key].(map[string]any); ok {
			keepAt(wanted, was, rest)
		}
		return
	}
	was, ok := live[key].([]any)
	if !ok {
		return
	}
	wanted, _ := tree[key].([]any)
	name := namer(wanted, was)
	names, elements := index(wanted, name)
	wasNames, wasElements := index(was, name)
	keepAt(elements, wasElements, rest)
	var list []any
	for _, n := range append(names, wasNames...) {
		if e, ok := elements[n]; ok {
			list = append(list, e)
			delete(elements, n)
		}
	}
	if list == nil {
		delete(tree, key)
		return
	}
	tree[key] = list
}

// namer tells how the elements of lists are called: by their names where all
// have one of their own, otherwise by their places.
func namer(lists ...[]any) func(int, any) string {
	byName := func(_ int, e any) string { return field(e, "name") }
	for _, list := range lists {
		if names, elements := index(list, byName); len(elements) < len(names) || elements[""] != nil {
			return func(i int, _ any) string { return strconv.Itoa(i) }
		}
	}
	return byName
}

func index(list []any, name func(int, any) string) (names []string, elements map[string]any) {
	elements = make(map[string]any, len(list))
	for i, e := range list {
		names = append(names, name(i, e))
		elements[name(i, e)] = e
	}
	return names, elements
}

// definition is the way back from a tree. encoding/json finds the fields without
// regard to case, but cannot fill the SDK's unions, of which there is one: how
// containers share a GPU.
func definition(tree map[string]any) (spec.ECSTaskDefinition, error) {
	type place struct{ container, requirement int }
	strategies := map[place]any{}
	for i, c := range objects(tree["containerDefinitions"]) {
		for j, r := range objects(c["resourceRequirements"]) {
			if s, ok := r["sharingStrategy"]; ok {
				strategies[place{i, j}] = s
				delete(r, "sharingStrategy")
			}
		}
	}
	var d spec.ECSTaskDefinition
	if err := fromTree(tree, &d); err != nil {
		return d, err
	}
	for at, s := range strategies {
		var strategy struct{ NvidiaMps *types.NvidiaMpsAllocation }
		if err := fromTree(s, &strategy); err != nil {
			return d, err
		}
		if strategy.NvidiaMps == nil {
			return d, fmt.Errorf("sharingStrategy %v is not known to this version", s)
		}
		d.ContainerDefinitions[at.container].ResourceRequirements[at.requirement].SharingStrategy = &types.SharingStrategyMemberNvidiaMps{
			Value: *strategy.NvidiaMps,
		}
	}
	return d, nil
}

func fromTree(tree, into any) error {
	text, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
