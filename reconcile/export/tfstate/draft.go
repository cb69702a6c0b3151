package tfstate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/churn-reconcile/churn-reconcile/reconcile/export"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Complete makes a draft of what was exported the spec that takes the place of
// this part: with its outputs, and at the end what stays with Terraform and how
// to make it forget the rest, by commands or by removed blocks. A resource in
// which a secret of the state stands is taken out of it, and told.
func (p Part) Complete(draft *spec.Draft, removedBlocks bool) []export.Left {
	var withheld []export.Left
	draft.Resources = slices.DeleteFunc(draft.Resources, func(r spec.Resource) bool {
		if !p.inResource(r) {
			return false
		}
		withheld = append(withheld, export.Left{ID: r.ID(), Err: errClear})
		return true
	})
	p.trim(draft.Resources)
	declared := declares(draft.Resources)
	outputs, notes := p.Outputs(declared)
	draft.Outputs = outputs
	tail := p.Staying()
	tail = append(tail, notes...)
	release, what := p.Release(declared), "Once a run has put this stack's mark on everything, make Terraform forget it:"
	if removedBlocks {
		var kept []string
		release, kept = p.RemovedBlocks(declared)
		tail = append(tail, kept...)
		what = "Once a run has put this stack's mark on everything, take the resources out of Terraform's configuration, and put this there:"
	}
	if len(release) > 0 {
		if len(tail) > 0 {
			tail = append(tail, "")
		}
		tail = append(tail, what, "")
		for _, line := range release {
			tail = append(tail, strings.TrimRight("  "+line, " "))
		}
	}
	draft.Tail = append(draft.Tail, tail...)
	return withheld
}

// trim takes what S3 fills in within an encryption out of buckets of which no
// more is wanted than what Terraform looks after.
func (p Part) trim(resources []spec.Resource) {
	for i, r := range resources {
		bucket, ok := r.(spec.S3Bucket)
		whole := slices.ContainsFunc(p.Wants, func(w export.Want) bool { return w.ID == r.ID() && w.Fields == nil })
		if !ok || bucket.Encryption == nil || whole {
			continue
		}
		encryption := *bucket.Encryption
		if !p.blocks[bucket.Name] {
			encryption.BlockedEncryptionTypes = nil
		}
		if on := encryption.BucketKeyEnabled; on != nil && !*on {
			encryption.BucketKeyEnabled = nil
		}
		bucket.Encryption = &encryption
		resources[i] = bucket
	}
}

// errClear is why a resource with a secret in it is left out.
var errClear = errors.New("the secret of an access key that the state holds stands in it in clear text, and a spec must not hold it; " +
	"declare it by hand, with ${env.NAME} or a secret of AWS in that place, and give the key a successor")

// declares says of an address whether it is one of the resources, or the access
// key of one.
func declares(resources []spec.Resource) func(spec.ID) bool {
	ids := map[spec.ID]bool{}
	for _, r := range resources {
		ids[r.ID()] = true
		if user, ok := r.(spec.IAMUser); ok && user.AccessKey != nil {
			ids[spec.ID{Kind: spec.AccessKey, Name: user.Name}] = true
		}
	}
	return func(id spec.ID) bool { return ids[id] }
}

// Staying lists what stays with Terraform, by type, for people.
func (p Part) Staying() []string {
	if len(p.Left) == 0 {
		return nil
	}
	ofType := map[string][]string{}
	var lines []string
	for _, l := range p.Left {
		if l.Reason == "" {
			ofType[l.Address.Type] = append(ofType[l.Address.Type], l.Address.String())
		}
	}
	lines = append(lines, fmt.Sprintf("Left to Terraform: %s.", count(len(p.Left), "resource")))
	for _, kind := range slices.Sorted(maps.Keys(ofType)) {
		lines = append(lines, fmt.Sprintf("  %s (%d): %s", kind, len(ofType[kind]), strings.Join(ofType[kind], ", ")))
	}
	for _, l := range p.Left {
		if l.Reason != "" {
			lines = append(lines, fmt.Sprintf("  %s: %s", l.Address, l.Reason))
		}
	}
	return lines
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// inResource says that a secret of the state stands in a resource.
func (p Part) inResource(r spec.Resource) bool {
	for key, value := range r.Common().Tags {
		if p.Tells(key) || p.Tells(value) {
			return true
		}
	}
	return p.tells(spec.Tree(r))
}
