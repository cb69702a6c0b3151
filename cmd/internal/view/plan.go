package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

// ReadPlan reads the JSON report of a dry run back, as what a run may write.
func ReadPlan(text []byte) (*reconcile.Approval, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("it is empty")
	}
	var report struct {
		FormatVersion string `json:"format_version"`
		Project       string `json:"project"`
		Environment   string `json:"environment"`
		Account       string `json:"account"`
		Region        string `json:"region"`
		DryRun        *bool  `json:"dry_run"`
		Digest        string `json:"digest"`
		Resources     []struct {
			Address string           `json:"address"`
			Action  reconcile.Action `json:"action"`
			Status  reconcile.Status `json:"status"`
			Diff    []jsonDiff       `json:"diff"`
			Calls   []string         `json:"calls"`
		} `json:"resources"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // a float would lose digits, and with them the digest
	if err := dec.Decode(&report); err != nil {
		return nil, fmt.Errorf("it is no JSON report: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("it is no JSON report: something follows it")
	}
	switch {
	case report.FormatVersion == "" || report.DryRun == nil || report.Resources == nil:
		return nil, errors.New("it is JSON, but no report of one stack")
	case report.FormatVersion != formatVersion:
		return nil, fmt.Errorf("it has the format %s, and this version reads %s: make it anew", report.FormatVersion, formatVersion)
	case !*report.DryRun:
		return nil, errors.New("it is the report of a run, which says what was done; a plan is the report of a dry run (--dry-run -o json)")
	case report.Digest == "":
		return nil, errors.New("it has no digest: an older version made it; make it anew")
	}

	plan := &reconcile.ApprovedPlan{Scope: reconcile.Scope{
		Project: report.Project, Environment: report.Environment, Account: report.Account, Region: report.Region,
	}}
	for _, res := range report.Resources {
		if !res.Status.Pending() {
			continue
		}
		c := reconcile.ResourceChange{Address: res.Address, Action: res.Action, Calls: res.Calls}
		for _, d := range res.Diff {
			c.Lines = append(c.Lines, reconcile.Diff{Path: d.Path, Before: d.Before, After: d.After})
		}
		plan.Changes = append(plan.Changes, c)
	}
	if digest := reconcile.Digest(plan.Scope, plan.Changes); digest != report.Digest {
		return nil, fmt.Errorf("it was edited: its digest says %s, and what it shows has %s", report.Digest, digest)
	}
	return &reconcile.Approval{Digest: report.Digest, Plan: plan}, nil
}
