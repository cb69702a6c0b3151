package reconcile

import (
	"time"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// An Action is what a resource needs.
type Action string

// The actions.
const (
	Create Action = "create"
	Update Action = "update"
	None   Action = "none"
)

// A Status is how far a resource has come.
type Status string

// The statuses.
const (
	Planned Status = "planned" // a dry run found differences
	Done    Status = "done"    // written, and confirmed by reading back
	Failed  Status = "failed"
	Skipped Status = "skipped" // something that it needs failed, or the run was interrupted
	InSync  Status = "in_sync"
)

// A Result is what a run says of one resource.
type Result struct {
	ID     spec.ID
	Action Action
	Status Status
	Diffs  []Diff   // in the order of the steps
	Calls  []string // in the order of the steps
	Notes  []string // e.g. an adopted key's secret was not delivered here
	Err    error    // why it failed, or was skipped
}

// A Report is what a run says as a whole. Results and outputs are sorted, so
// that the same state gives the same report.
type Report struct {
	Spec        string
	Project     string
	Environment string
	Account     string
	Region      string
	DryRun      bool
	Interrupted bool
	Results     []Result
	Outputs     []Output
	Duration    time.Duration
	APICalls    int
}

// An Output is a value of the spec's outputs. Value is nil while AWS has not
// given birth to it, as an access key's id in the dry run before its create.
// A secret is never in it: where it was delivered stands there instead.
type Output struct {
	Name      string
	Value     *string
	Sensitive bool
}

// Summary counts results.
type Summary struct {
	Create, Update, Unchanged, Failed, Skipped int
}

// Summary counts a resource once: as failed or skipped where it is, otherwise
// by its action.
func (r *Report) Summary() Summary {
	var s Summary
	for _, res := range r.Results {
		switch {
		case res.Status == Failed:
			s.Failed++
		case res.Status == Skipped:
			s.Skipped++
		case res.Action == Create:
			s.Create++
		case res.Action == Update:
			s.Update++
		default:
			s.Unchanged++
		}
	}
	return s
}

// InSync says whether AWS matches the spec now: nothing pending, failed or
// skipped.
func (r *Report) InSync() bool {
	for _, res := range r.Results {
		if res.Status != InSync && res.Status != Done {
			return false
		}
	}
	return true
}
