package view_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

var update = flag.Bool("update", false, "write the goldens anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s: %s", path, d)
	}
}

func text(s string) *string { return &s }

// digest is no digest of anything.
const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func report(results ...reconcile.Result) *reconcile.Report {
	return &reconcile.Report{
		Digest: digest, Command: "churn-reconcile -f dev.yaml '--var=a=b|`c`'",
		Spec: "dev.yaml", Project: "churn-prediction", Environment: "dev",
		Account: "123456789012", Region: "eu-north-1",
		Results: results, Duration: 1234567 * time.Microsecond, APICalls: 22,
	}
}

var (
	trust = map[string]any{
		"Version": "2012-10-17",
		"Statement": []any{map[string]any{
			"Effect": "Allow", "Action": "sts:AssumeRole",
			"Principal": map[string]any{"Service": "ecs-tasks.amazonaws.com"},
		}},
	}
	inSync = reconcile.Result{
		ID:     spec.ID{Kind: spec.Bucket, Name: "churn-prediction-data-asamane"},
		Action: reconcile.None, Status: reconcile.InSync,
	}
	created = reconcile.Result{
		ID:     spec.ID{Kind: spec.Role, Name: "ecsTaskExecutionRole"},
		Action: reconcile.Create, Status: reconcile.Done,
		Diffs: []reconcile.Diff{
			{Path: "assumeRolePolicy", After: trust},
			{Path: "maxSessionDuration", After: 3600},
			{Path: "policies[ecs-s3-access]", After: "arn:aws:iam::123456789012:policy/ecs-s3-access"},
		},
		Calls: []string{"iam:CreateRole", "iam:AttachRolePolicy", "iam:AttachRolePolicy"},
		Access: []string{
			"gains sts:AssumeRole for ecs-tasks.amazonaws.com",
			"gains s3:GetObject on arn:aws:s3:::b/*; for example s3:GetObject on arn:aws:s3:::b/x",
		},
	}
	updated = reconcile.Result{
		ID:     spec.ID{Kind: spec.TaskDefinition, Name: "churn-prediction-task"},
		Action: reconcile.Update, Status: reconcile.Done,
		Diffs: []reconcile.Diff{
			{Path: "containerDefinitions[ml-container].image", Before: "x:1", After: "x:2"},
			{Path: "containerDefinitions[ml-container].essential", Before: false, After: true},
			{Path: "containerDefinitions[ml-container].command", Before: []any{}, After: []any{"python", "<train>"}},
			{Path: "cpu", Before: json.Number("256"), After: json.Number("512"), Cause: reconcile.BySpec},
			{Path: "policy", Before: `{"Version":"2012-10-17","Statement":[]}`, After: trust, Cause: reconcile.ByBoth},
			{Path: "tags.Owner", Before: "somebody", Cause: reconcile.ByDrift},
		},
		Calls: []string{"ecs:RegisterTaskDefinition", "ecs:UntagResource"},
		Who: []reconcile.Event{{
			Principal: "arn:aws:iam::123456789012:user/jo", Call: "ecs:RegisterTaskDefinition",
			Time: time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC), Source: "192.0.2.7",
		}},
		Notes: []string{"the revision before this one stays active"},
	}
	deleted = reconcile.Result{
		ID:     spec.ID{Kind: spec.Repository, Name: "old"},
		Action: reconcile.Delete, Status: reconcile.Done,
		Diffs: []reconcile.Diff{{Path: "name", Before: "old"}},
		Calls: []string{"ecr:DeleteRepository"},
	}
	failed = reconcile.Result{
		ID:     spec.ID{Kind: spec.User, Name: "ml-engineer"},
		Action: reconcile.Create, Status: reconcile.Failed,
		Diffs: []reconcile.Diff{{Path: "path", After: "/"}},
		Calls: []string{"iam:CreateUser"},
		Err:   errors.Join(errors.New("create iam.user/ml-engineer: iam:CreateUser: AccessDenied (request 1f2e)"), errors.New("not read back")),
	}
	skipped = reconcile.Result{
		ID:     spec.ID{Kind: spec.AccessKey, Name: "ml-engineer"},
		Action: reconcile.Create, Status: reconcile.Skipped,
		Diffs: []reconcile.Diff{{Path: "status", After: "Active"}},
		Calls: []string{"iam:CreateAccessKey"},
		Err:   &reconcile.NeedError{Need: failed.ID},
	}
	unconfirmed = reconcile.Result{
		ID:     spec.ID{Kind: spec.LogGroup, Name: "/ecs/churn-prediction"},
		Action: reconcile.Update, Status: reconcile.Unconfirmed,
		Diffs: []reconcile.Diff{{Path: "retentionInDays", Before: 30, After: 7}},
		Calls: []string{"logs:PutRetentionPolicy"},
		Err:   fmt.Errorf("written, but not read back: %w", reconcile.ErrInterrupted),
	}
	noted = reconcile.Result{
		ID:     spec.ID{Kind: spec.AccessKey, Name: "ml-engineer"},
		Action: reconcile.None, Status: reconcile.InSync,
		Notes: []string{"another key, AKIAEXAMPLE, is not managed"},
	}
	outputs = []reconcile.Output{
		{Name: "bucket_name", Value: text("churn-prediction-data-asamane")},
		{Name: "elsewhere", Gap: reconcile.NotLookedAt},
		{Name: "key_id", Gap: reconcile.NotBorn, Sensitive: true},
		{Name: "secret", Value: text("delivered to file ml-engineer.credentials"), Sensitive: true},
	}
	// hostile is what somebody with access to AWS alone could make a report
	// contain.
	hostile = reconcile.Result{
		ID:     spec.ID{Kind: spec.Role, Name: "a\x1b[2J|`b`<img src=x>@org/team"},
		Action: reconcile.Update, Status: reconcile.Done,
		Diffs: []reconcile.Diff{
			{Path: "tags.\x1b]0;t\x07", Before: "\x1b[31mred\r\n\u009b2J", After: "\u202egpj.exe"},
			{Path: "tags.fence", Before: "```\n</details>\n````", After: "\xff"},
			{Path: "tags.tree", Before: map[string]any{"k\u009b": "\x7f\u2066"}, After: `{"a":"\u001b` + "\u009b" + `"}`},
		},
		Calls:  []string{"iam:TagRole\x1b[0m"},
		Access: []string{"gains \x1b[0m```\n</details>"},
		Notes:  []string{"note \x1b[0m\nsecond line"},
		Who:    []reconcile.Event{{Principal: "\x1b[0m```\n::error::jo", Call: "iam:TagRole"}, {}},
	}
	// commands is the same, for the log of a CI.
	commands = reconcile.Result{
		ID:     spec.ID{Kind: spec.Role, Name: "::add-mask::r"},
		Action: reconcile.Update, Status: reconcile.Failed,
		Diffs: []reconcile.Diff{
			{Path: "::warning::p", After: "first\n::error::second\n  ::error::third"},
			{Path: "tags.##[add-mask]", Before: "##[set-env name=a]b", After: map[string]any{"a": "##vso[task.setvariable]"}},
		},
		Calls:  []string{"::stop-commands::x"},
		Access: []string{"gains a\n::error::b"},
		Notes:  []string{"::notice::n"},
		Err:    errors.New("refused\n::set-output name=a::b\n  ##[debug]c"),
	}
)

func scenarios() map[string]*reconcile.Report {
	plan := report(inSync, asPlanned(created), asPlanned(updated))
	plan.DryRun = true
	plan.Outputs = outputs

	done := report(inSync, created, updated)
	done.Outputs = outputs

	broken := report(inSync, created, failed, skipped)
	brokenPlan := report(inSync, asPlanned(created), failed, skipped)
	brokenPlan.DryRun = true

	interrupted := report(created, unconfirmed, reconcile.Result{
		ID: updated.ID, Action: reconcile.Update, Status: reconcile.Skipped, Err: reconcile.ErrInterrupted,
	})
	interrupted.Interrupted = true

	early := report(inSync)
	early.Interrupted = true

	interruptedPlan := report(asPlanned(created), reconcile.Result{ID: updated.ID, Action: reconcile.None, Status: reconcile.Skipped, Err: reconcile.ErrInterrupted})
	interruptedPlan.DryRun, interruptedPlan.Interrupted = true, true

	part := report(inSync, noted)
	part.Declared = 12

	clean := report(inSync, noted)
	cleanPlan := report(inSync)
	cleanPlan.DryRun = true

	stdin := report()
	stdin.Spec = "-"
	stdin.Account = ""

	held := report(inSync, asHeld(created), asHeld(updated), asHeld(deleted))
	heldPlan := report(asHeld(created))
	heldPlan.DryRun = true

	deleting := report(inSync, created, deleted)
	deletingPlan := report(inSync, asPlanned(updated), asPlanned(deleted))
	deletingPlan.DryRun = true

	return map[string]*reconcile.Report{
		"held": held, "held-plan": heldPlan, "deleted": deleting, "delete-plan": deletingPlan,
		"interrupted-plan": interruptedPlan, "part": part, "commands": report(commands),
		"plan": plan, "done": done, "broken": broken, "broken-plan": brokenPlan,
		"interrupted": interrupted, "interrupted-early": early, "clean": clean, "clean-plan": cleanPlan,
		"stdin": stdin, "hostile": report(hostile),
	}
}

func asPlanned(res reconcile.Result) reconcile.Result {
	res.Status = reconcile.Planned
	return res
}

func asHeld(res reconcile.Result) reconcile.Result {
	res.Status, res.Err = reconcile.Held, errors.New("the run is over the limit")
	return res
}

type format struct {
	name  string
	write func(io.Writer, *reconcile.Report) error
}

func formats() []format {
	as := func(o view.TextOptions) func(io.Writer, *reconcile.Report) error {
		return func(w io.Writer, r *reconcile.Report) error { return view.Text(w, r, o) }
	}
	return []format{
		{"txt", as(view.TextOptions{})},
		{"color.txt", as(view.TextOptions{Color: true})},
		{"verbose.txt", as(view.TextOptions{Verbose: true})},
		{"quiet.txt", as(view.TextOptions{Quiet: true})},
		{"json", view.JSON},
		{"md", view.Markdown},
	}
}

func TestGoldens(t *testing.T) {
	t.Parallel()
	for name, r := range scenarios() {
		for _, f := range formats() {
			t.Run(name+"."+f.name, func(t *testing.T) {
				t.Parallel()
				var b bytes.Buffer
				if err := f.write(&b, r); err != nil {
					t.Fatal(err)
				}
				golden(t, name+"."+f.name, b.Bytes())
				for range 10 {
					var again bytes.Buffer
					if err := f.write(&again, r); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
						t.Fatalf("another time another report, %v", err)
					}
				}
			})
		}
	}
}

// Whatever a value holds, nothing of it reaches a terminal as a command.
func TestPrintable(t *testing.T) {
	t.Parallel()
	for name, r := range scenarios() {
		for _, f := range formats() {
			if f.name == "color.txt" {
				continue
			}
			var b bytes.Buffer
			if err := f.write(&b, r); err != nil {
				t.Fatal(err)
			}
			for _, c := range b.String() {
				if c != '\n' && !unicode.IsPrint(c) || c == unicode.ReplacementChar && f.name != "json" {
					t.Errorf("%s.%s has %U", name, f.name, c)
				}
			}
		}
	}
}

// No more does it reach the log of a CI as one: GitHub's runner and Azure's agent
// take these for commands, whatever white space is before the colons.
func TestNoCommands(t *testing.T) {
	t.Parallel()
	for name, r := range scenarios() {
		for _, f := range formats() {
			var b bytes.Buffer
			if err := f.write(&b, r); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(b.String()) {
				if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##[") || strings.Contains(line, "##vso[") {
					t.Errorf("%s.%s: %q is a command", name, f.name, line)
				}
			}
		}
	}
	if got, want := view.Printable("a\n::b\n \t::c\x1b[2J"), "a\n\\x3a:b\n \\t::c\\x1b[2J"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A narrow terminal breaks lines between words, and no ARN.
func TestWrap(t *testing.T) {
	t.Parallel()
	r := report(created, updated, failed, unconfirmed)
	r.Outputs = outputs
	var b bytes.Buffer
	if err := view.Text(&b, r, view.TextOptions{Width: 60}); err != nil {
		t.Fatal(err)
	}
	golden(t, "width-60.txt", b.Bytes())
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 60 && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	var whole bytes.Buffer
	if err := view.Text(&whole, r, view.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Fields(whole.String()), strings.Fields(b.String())); d != "" {
		t.Errorf("wrapping changes words: %s", d)
	}
}

func TestLastLine(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"plan":              "Plan: 1 to create, 1 to update (1 drifted). Nothing was changed (dry run).",
		"done":              "Done: 1 created, 1 updated (1 drifted), 1 unchanged.",
		"broken":            "Done: 1 created, 0 updated, 1 unchanged, 1 failed, 1 skipped.",
		"broken-plan":       "Plan: 1 to create, 0 to update, 1 failed, 1 skipped. Nothing was changed (dry run).",
		"interrupted":       "Interrupted: 1 created, 0 updated, 0 unchanged, 1 unconfirmed, 1 skipped. What was not begun is left as it was.",
		"interrupted-early": "Interrupted: 0 created, 0 updated, 1 unchanged. What was not begun is left as it was.",
		"interrupted-plan":  "Interrupted: 1 to create, 0 to update, 1 skipped. Nothing was changed (dry run).",
		"part":              "No changes in the 2 of 12 resources looked at.",
		"commands":          "Done: 0 created, 0 updated, 0 unchanged, 1 failed.",
		"clean":             "No changes. AWS matches dev.yaml.",
		"clean-plan":        "No changes. AWS matches dev.yaml.",
		"held":              "Done: 0 created, 0 updated, 1 unchanged, 3 held.",
		"held-plan":         "Plan: 0 to create, 0 to update, 1 held. Nothing was changed (dry run).",
		"deleted":           "Done: 1 created, 0 updated, 1 deleted, 1 unchanged.",
		"delete-plan":       "Plan: 0 to create, 1 to update (1 drifted), 1 to delete. Nothing was changed (dry run).",
		"stdin":             "No changes. AWS matches the spec.",
		"hostile":           "Done: 0 created, 1 updated, 0 unchanged.",
	}
	for name, r := range scenarios() {
		for _, o := range []view.TextOptions{{}, {Color: true}, {Verbose: true}, {Quiet: true}} {
			var b bytes.Buffer
			if err := view.Text(&b, r, o); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(b.String(), "\n")
			if got := strings.TrimSuffix(strings.TrimPrefix(lines[len(lines)-2], "\x1b[33m"), "\x1b[0m"); got != want[name] || lines[len(lines)-1] != "" {
				t.Errorf("%s, %+v: the last line is %q, want %q", name, o, got, want[name])
			}
			if strings.Contains(b.String(), "\x1b") && !o.Color {
				t.Errorf("%s, %+v: escapes without colour", name, o)
			}
		}
	}
}

func TestJSONKeys(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	r := report(asPlanned(created), failed, inSync)
	r.Results[2].Action = "" // not looked at
	r.Outputs = outputs
	if err := view.JSON(&b, r); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), `\u003c`) {
		t.Error("HTML characters are escaped")
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	resources := got["resources"].([]any)
	delete(got, "resources")
	want := map[string]any{
		"format_version": "1.0", "spec": "dev.yaml", "project": "churn-prediction", "environment": "dev",
		"account": "123456789012", "region": "eu-north-1", "dry_run": false, "in_sync": false, "digest": digest,
		"summary": map[string]any{
			"create": 1.0, "update": 0.0, "delete": 0.0, "unchanged": 1.0,
			"unconfirmed": 0.0, "failed": 1.0, "skipped": 0.0, "held": 0.0,
		},
		"outputs": map[string]any{
			"bucket_name": map[string]any{"value": "churn-prediction-data-asamane", "sensitive": false},
			"elsewhere":   map[string]any{"value": nil, "sensitive": false},
			"key_id":      map[string]any{"value": nil, "sensitive": true},
			"secret":      map[string]any{"value": "delivered to file ml-engineer.credentials", "sensitive": true},
		},
		"duration_ms": 1234.0, "api_calls": 22.0,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]any{
		"address": inSync.ID.String(), "action": "none", "status": "in_sync",
		"diff": []any{}, "calls": []any{}, "access": []any{}, "who": []any{}, "error": nil,
	}, resources[2]); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]any{
		"address": failed.ID.String(), "action": "create", "status": "failed",
		"diff":  []any{map[string]any{"path": "path", "before": nil, "after": "/", "cause": nil}},
		"calls": []any{"iam:CreateUser"}, "access": []any{}, "who": []any{}, "error": failed.Err.Error(),
	}, resources[1]); d != "" {
		t.Error(d)
	}
}

// JSON keeps a value as it is, however it has to be written.
func TestJSONValues(t *testing.T) {
	t.Parallel()
	values := []any{"\x1b[0m\u009b\u202e<&>\u2028\U000e0001`|", true, nil, json.Number("12345678901234567890"), map[string]any{"a": []any{"b"}}}
	for _, value := range values {
		r := report(updated)
		r.Results[0].Diffs = []reconcile.Diff{{Path: "p", Before: value, After: "x"}}
		var b bytes.Buffer
		if err := view.JSON(&b, r); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Resources []struct{ Diff []struct{ Before any } }
		}
		dec := json.NewDecoder(&b)
		dec.UseNumber()
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(value, got.Resources[0].Diff[0].Before); d != "" {
			t.Error(d)
		}
	}
}

func TestMarkdownLimit(t *testing.T) {
	t.Parallel()
	many := func(n, diffs int, value string) *reconcile.Report {
		r := report()
		for i := range n {
			res := reconcile.Result{
				ID:     spec.ID{Kind: spec.Role, Name: fmt.Sprintf("role-%04d", i)},
				Action: reconcile.Update, Status: reconcile.Done,
			}
			for j := range diffs {
				res.Diffs = append(res.Diffs, reconcile.Diff{Path: fmt.Sprintf("policies[%d]", j), After: value})
			}
			r.Results = append(r.Results, res)
		}
		return r
	}
	longOutputs := report(created)
	for i := range 2000 {
		longOutputs.Outputs = append(longOutputs.Outputs, reconcile.Output{Name: fmt.Sprintf("o%d", i), Value: text(strings.Repeat("v", 50))})
	}
	unchanged := report(created)
	for i := range 3000 {
		unchanged.Results = append(unchanged.Results, reconcile.Result{
			ID: spec.ID{Kind: spec.Role, Name: fmt.Sprint(i)}, Action: reconcile.None, Status: reconcile.InSync,
		})
	}
	tests := []struct {
		name string
		r    *reconcile.Report
		cut  bool
	}{
		{"small", many(3, 3, "x"), false},
		{"many resources", many(3000, 1, "x"), true},
		{"many differences", many(2, 3000, "x"), true},
		{"many of both", many(100, 100, strings.Repeat("x", 100)), true},
		{"one long value", many(5, 1, strings.Repeat("x", 100_000)), true},
		{"long values, then short", many(50, 3, strings.Repeat("x", 40_000)), true},
		{"characters of several bytes", many(1, 1000, strings.Repeat("é", 60)), true},
		{"many outputs", longOutputs, true},
		{"many unchanged", unchanged, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			if err := view.Markdown(&b, test.r); err != nil {
				t.Fatal(err)
			}
			got := b.String()
			if len(got) > 65536 {
				t.Errorf("%d bytes", len(got))
			}
			if cut := strings.Contains(got, "This report was cut"); cut != test.cut {
				t.Errorf("cut = %v, want %v", cut, test.cut)
			}
			if test.cut && len(got) < 30_000 {
				t.Errorf("only %d bytes are used", len(got))
			}
			if open, closed := strings.Count(got, "<details"), strings.Count(got, "</details>"); open != closed {
				t.Errorf("%d details are opened, %d closed", open, closed)
			}
			if strings.Count(got, "```")%2 != 0 {
				t.Error("a fence stays open")
			}
		})
	}
}

// However much is cut, it is not the reason of a failure.
func TestMarkdownCutsFailuresLast(t *testing.T) {
	t.Parallel()
	r := report()
	for i := range 2000 {
		res := created
		res.ID.Name = fmt.Sprint(i)
		r.Results = append(r.Results, res)
	}
	broken := failed
	for range 3000 {
		broken.Diffs = append(broken.Diffs, reconcile.Diff{Path: "path", After: "/"})
	}
	r.Results = append(r.Results, broken)
	var b bytes.Buffer
	if err := view.Markdown(&b, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"AccessDenied", "1 failed", "This report was cut"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
}

// A fence is closed only by a line of as many backticks, so no value may hold
// such a line, whatever it holds otherwise.
func TestMarkdownFence(t *testing.T) {
	t.Parallel()
	for n := range 8 {
		ticks := strings.Repeat("`", n)
		r := report(updated)
		r.Results[0].Diffs = []reconcile.Diff{{Path: "p", After: "a\n" + ticks + "\n" + ticks + "x" + ticks}}
		var b bytes.Buffer
		if err := view.Markdown(&b, r); err != nil {
			t.Fatal(err)
		}
		want := strings.Repeat("`", max(3, n+1))
		if got := strings.Count(b.String(), want); got != 2 {
			t.Errorf("%d backticks: %d fences of %d, want 2\n%s", n, got, len(want), b.String())
		}
	}
}

func TestWriteError(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	for _, f := range formats() {
		if err := f.write(failingWriter{full}, scenarios()["done"]); !errors.Is(err, full) {
			t.Errorf("%s: error %v, want %v", f.name, err, full)
		}
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
