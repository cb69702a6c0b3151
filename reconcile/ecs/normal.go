package ecs

import (
	"fmt"
	"strconv"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// defaults brings what is given and what ECS answers, or acts on, where nothing
// is given into one form.
func defaults(tree map[string]any) {
	units(tree, "cpu", spec.CPUUnits)
	units(tree, "memory", spec.MemoryMiB)
	drop(tree, "enableFaultInjection", false)
	if p, ok := tree["runtimePlatform"].(map[string]any); ok {
		fill(p, "operatingSystemFamily", "LINUX")
		fill(p, "cpuArchitecture", "X86_64")
	}
	for _, v := range objects(tree["volumes"]) {
		drop(v, "configuredAtLaunch", false)
		if efs, ok := v["efsVolumeConfiguration"].(map[string]any); ok {
			fill(efs, "rootDirectory", "/")
			fill(efs, "transitEncryption", "DISABLED")
			if auth, ok := efs["authorizationConfig"].(map[string]any); ok {
				fill(auth, "iam", "DISABLED")
			}
		}
	}
	mode, _ := tree["networkMode"].(string)
	for _, c := range objects(tree["containerDefinitions"]) {
		fill(c, "essential", true)
		drop(c, "versionConsistency", "enabled")
		for _, flag := range []string{"disableNetworking", "interactive", "privileged", "pseudoTerminal", "readonlyRootFilesystem"} {
			drop(c, flag, false)
		}
		if h, ok := c["healthCheck"].(map[string]any); ok {
			fill(h, "interval", int64(30))
			fill(h, "timeout", int64(5))
			fill(h, "retries", int64(3))
			fill(h, "startPeriod", int64(0))
		}
		if r, ok := c["restartPolicy"].(map[string]any); ok {
			fill(r, "restartAttemptPeriod", int64(300))
			if r["enabled"] != true {
				delete(c, "restartPolicy") // turned off, whatever else it says
			}
		}
		if l, ok := c["linuxParameters"].(map[string]any); ok {
			drop(l, "initProcessEnabled", false)
			if len(l) == 0 {
				delete(c, "linuxParameters")
			}
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
		m[field(o, "name")] = field(o, value) // a name without a value is there all the same
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

// drop takes away a default that hardly anybody writes out, so that a report
// of something new does not list it.
func drop(tree map[string]any, key string, value any) {
	if tree[key] == value {
		delete(tree, key)
	}
}

// units writes "1 vCPU" and "0.5 GB" as ECS keeps them, in 1024ths.
func units(tree map[string]any, key string, parse func(string) (int, bool)) {
	s, _ := tree[key].(string)
	if n, ok := parse(s); ok {
		tree[key] = strconv.Itoa(n)
	}
}
