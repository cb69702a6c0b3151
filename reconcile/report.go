package reconcile

import (
	"slices"
	"time"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// An Action is what a resource needs.
type Action string

// The actions.
const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
	None   Action = "none"
)

// A Status is how far a resource has come.
type Status string

// The statuses.
const (
	Planned Status = "planned" // a dry run found differences
	Done    Status = "done"    // written, and confirmed by reading back
	Failed  Status = "failed"
	// Unconfirmed was written, and could not be read back.
	Unconfirmed Status = "unconfirmed"
	Skipped     Status = "skipped" // something that it needs failed, or the run was interrupted
	Held        Status = "held"    // nothing is written: the run is over a limit, or not as it was approved
	InSync      Status = "in_sync"
)

// Pending says that there is something to do that was not begun. What was
// skipped is not counted: nobody was shown it.
func (s Status) Pending() bool { return s == Planned || s == Held }

// A Result is what a run says of one resource.
type Result struct {
	ID     spec.ID
	Action Action
	Status Status
	Diffs  []Diff   // in the order of the steps
	Calls  []string // in the order of the steps
	Access []string // what access comes and goes; see [Granter]
	Who    []Event  // who has changed what has drifted; nil: nobody was asked
	Notes  []string // e.g. an adopted key's secret was not delivered here
	Err    error    // why it failed, was skipped or held, or could not be confirmed
}

// Drifted says that AWS was no longer as it was last applied.
func (r Result) Drifted() bool {
	return slices.ContainsFunc(r.Diffs, func(d Diff) bool { return d.Cause.Drifted() })
}

// A Report is what a run says as a whole. Results and outputs are sorted, so
// that the same state gives the same report. Results are of what was looked at,
// which may be less than the spec declares.
type Report struct {
	Spec        string
	Project     string
	Environment string
	Account     string
	Region      string
	DryRun      bool
	Interrupted bool
	Declared    int // resources of the spec, looked at or not
	Results     []Result
	Orphans     []spec.ID // what carries the stack's mark and is not in the spec; nil: nobody has looked
	Destroyed   bool      // the run was to leave nothing of the stack
	Outputs     []Output
	Digest      string // of what there was to do; see [Digest]
	Command     string // runs exactly this plan; "": it cannot be had again
	Duration    time.Duration
	APICalls    int
}

// An Output is a value of the spec's outputs, nil where there is a gap. A
// secret is never in it: where it was delivered stands there instead.
type Output struct {
	Name      string
	Value     *string
	Gap       Gap
	Sensitive bool
	Secret    bool // Value is where the secret was delivered
}

// A Gap is why a value that is born in AWS is not known.
type Gap string

// The gaps.
const (
	NotBorn     Gap = "not in AWS yet" // as an access key's id before its create
	NotLookedAt Gap = "not looked at"  // its resource is none of those that the run is about
	NotRead     Gap = "not read"       // the read of its resource failed, or was interrupted
)

// Summary counts results.
type Summary struct {
	Create, Update, Delete, Unchanged, Unconfirmed, Failed, Skipped, Held int
}

// Summary counts a resource once: as failed, skipped, held or unconfirmed where
// it is, otherwise by its action.
func (r *Report) Summary() Summary {
	var s Summary
	for _, res := range r.Results {
		switch {
		case res.Status == Failed:
			s.Failed++
		case res.Status == Skipped:
			s.Skipped++
		case res.Status == Held:
			s.Held++
		case res.Status == Unconfirmed:
			s.Unconfirmed++
		case res.Action == Create:
			s.Create++
		case res.Action == Update:
			s.Update++
		case res.Action == Delete:
			s.Delete++
		default:
			s.Unchanged++
		}
	}
	return s
}

// Drifted counts the updates of what AWS no longer has as it was applied.
func (r *Report) Drifted() int {
	var n int
	for _, res := range r.Results {
		if res.Action == Update && (res.Status == Planned || res.Status == Done) && res.Drifted() {
			n++
		}
	}
	return n
}

// InSync says whether AWS matches the spec now in what was looked at: nothing
// pending, held, failed, skipped or unconfirmed.
func (r *Report) InSync() bool {
	for _, res := range r.Results {
		if res.Status != InSync && res.Status != Done {
			return false
		}
	}
	return true
}
