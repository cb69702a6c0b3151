package ecs

import (
	"fmt"
	"strconv"
	"strings"
)

// normal makes of a task definition's content what ECS makes of it, so that
// two can be compared: its defaults are filled in, and what has no order is
// told apart by name.
func normal(content map[string]any) map[string]any {
	tree, _ := clone(content).(map[string]any)
	defaults(tree)
	byName(tree)
	return tree
}

// defaults fills in what ECS answers, or acts on, where nothing is given.
func defaults(tree map[string]any) {
	units(tree, "cpu", "vcpu")
	units(tree, "memory", "gb")
	if p, ok := tree["runtimePlatform"].(map[string]any); ok {
		fill(p, "operatingSystemFamily", "LINUX")
		fill(p, "cpuArchitecture", "X86_64")
	}
	for _, v := range objects(tree["volumes"]) {
		if efs, ok := v["efsVolumeConfiguration"].(map[string]any); ok {
			fill(efs, "rootDirectory", "/")
			fill(efs, "transitEncryption", "DISABLED")
		}
	}
	mode, _ := tree["networkMode"].(string)
	for _, c := range objects(tree["containerDefinitions"]) {
		fill(c, "essential", true)
		fill(c, "versionConsistency", "enabled")
		if h, ok := c["healthCheck"].(map[string]any); ok {
			fill(h, "interval", int64(30))
			fill(h, "timeout", int64(5))
			fill(h, "retries", int64(3))
			fill(h, "startPeriod", int64(0))
		}
		if r, ok := c["restartPolicy"].(map[string]any); ok {
			fill(r, "restartAttemptPeriod", int64(300))
		}
		for _, p := range objects(c["portMappings"]) {
			fill(p, "protocol", "tcp")
			// With the task's own network interface, or the host's, a
			// container's port is the host's port.
			if port, ok := p["containerPort"]; ok && (mode == "awsvpc" || mode == "host") {
				if p["hostPort"] == int64(0) {
					delete(p, "hostPort")
				}
				fill(p, "hostPort", port)
			} else if ok {
				fill(p, "hostPort", int64(0))
			}
		}
		for _, m := range objects(c["mountPoints"]) {
			fill(m, "readOnly", false)
		}
		for _, v := range objects(c["volumesFrom"]) {
			fill(v, "readOnly", false)
		}
	}
}

// byName turns lists without order into maps. Commands, entry points and
// dependencies keep their order. (Lists of objects that all have a name are
// matched by it anyway.)
func byName(tree map[string]any) {
	keyed(tree, "requiresCompatibilities", func(v any) string { return fmt.Sprint(v) })
	keyed(tree, "placementConstraints", func(v any) string { return field(v, "expression") })
	for _, c := range objects(tree["containerDefinitions"]) {
		pairs(c, "environment", "value")
		pairs(c, "secrets", "valueFrom")
		keyed(c, "portMappings", func(v any) string {
			return field(v, "containerPort") + field(v, "containerPortRange") + "/" + field(v, "protocol")
		})
		keyed(c, "mountPoints", func(v any) string { return field(v, "containerPath") })
		keyed(c, "volumesFrom", func(v any) string { return field(v, "sourceContainer") })
		keyed(c, "systemControls", func(v any) string { return field(v, "namespace") })
		keyed(c, "resourceRequirements", func(v any) string { return field(v, "type") })
		keyed(c, "extraHosts", func(v any) string { return field(v, "hostname") })
	}
}

// pairs turns a list of names and values into a map of them, which reads
// better, unless a name comes twice.
func pairs(tree map[string]any, list, value string) {
	m := map[string]any{}
	for _, o := range objects(tree[list]) {
		m[field(o, "name")] = o[value]
	}
	if len(m) > 0 && len(m) == len(objects(tree[list])) {
		tree[list] = m
	}
}

// keyed turns a list without order into a map. A key that comes twice is
// told apart by its place, so that nothing is lost.
func keyed(tree map[string]any, name string, key func(any) string) {
	list, ok := tree[name].([]any)
	if !ok {
		return
	}
	m := make(map[string]any, len(list))
	for _, v := range list {
		k := key(v)
		for n := 2; m[k] != nil; n++ {
			k = key(v) + "#" + strconv.Itoa(n)
		}
		m[k] = v
	}
	tree[name] = m
}

func objects(list any) []map[string]any {
	all, _ := list.([]any)
	var objects []map[string]any
	for _, v := range all {
		if o, ok := v.(map[string]any); ok {
			objects = append(objects, o)
		}
	}
	return objects
}

func field(v any, name string) string {
	o, _ := v.(map[string]any)
	if o[name] == nil {
		return ""
	}
	return fmt.Sprint(o[name])
}

func fill(tree map[string]any, key string, value any) {
	if tree[key] == nil {
		tree[key] = value
	}
}

// units writes "1 vCPU" and "0.5 GB" as ECS keeps them, in 1024ths.
func units(tree map[string]any, key, unit string) {
	s, _ := tree[key].(string)
	number, found := strings.CutSuffix(strings.ToLower(strings.TrimSpace(s)), unit)
	if !found {
		return
	}
	if n, err := strconv.ParseFloat(strings.TrimSpace(number), 64); err == nil {
		tree[key] = strconv.FormatFloat(n*1024, 'f', -1, 64)
	}
}

// segments splits a path such as containerDefinitions.*.image, or
// containerDefinitions[ml-container].image as reports write it.
func segments(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// leave puts what is live at path in the place of what is wished. Elements of
// lists are found by name; one that is not live stays as it is wished.
func leave(tree, live map[string]any, path []string) {
	if len(path) == 1 {
		if v, ok := live[path[0]]; ok {
			tree[path[0]] = clone(v)
		} else {
			delete(tree, path[0])
		}
		return
	}
	if sub, ok := tree[path[0]].(map[string]any); ok {
		if liveSub, ok := live[path[0]].(map[string]any); ok {
			leave(sub, liveSub, path[1:])
		}
		return
	}
	for _, o := range objects(tree[path[0]]) {
		if path[1] != "*" && path[1] != field(o, "name") {
			continue
		}
		for _, l := range objects(live[path[0]]) {
			if field(l, "name") == field(o, "name") && len(path) > 2 {
				leave(o, l, path[2:])
			}
		}
	}
}
