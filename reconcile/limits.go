package reconcile

import (
	"fmt"
	"strings"
)

// Limits are what a run may do at most; nil: as much as there is.
type Limits struct {
	Changes  *int // resources with anything to do
	Removals *int // things taken away
}

// A LimitError says that a run is over its limits.
type LimitError struct {
	Changes, Removals int
	Limits            Limits   // those that it is over
	Removed           []string // address and path of each removal
}

func (e *LimitError) Error() string {
	var over []string
	if limit := e.Limits.Changes; limit != nil {
		over = append(over, fmt.Sprintf("%d to change, and the limit is %d (--max-changes, or limits.changes in the spec)", e.Changes, *limit))
	}
	if limit := e.Limits.Removals; limit != nil {
		const most = 10
		removed := e.Removed
		if len(removed) > most {
			removed = append(removed[:most:most], fmt.Sprintf("and %d more", len(removed)-most))
		}
		over = append(over, fmt.Sprintf("%d to take away, and the limit is %d (--max-removals, or limits.removals in the spec): %s",
			e.Removals, *limit, strings.Join(removed, ", ")))
	}
	return "over the limit, so nothing was written: " + strings.Join(over, "; ")
}

// Limit holds everything where the run is over a limit, and the error is a
// *LimitError.
func (r *Run) Limit(limits Limits) error {
	pending := Pending(r.Results())
	var removed []string
	for _, c := range pending {
		removed = append(removed, c.removals()...)
	}
	e := &LimitError{Changes: len(pending), Removals: len(removed), Removed: removed}
	over := func(n int, limit *int) *int {
		if limit == nil || n <= *limit {
			return nil
		}
		return limit
	}
	e.Limits = Limits{over(e.Changes, limits.Changes), over(e.Removals, limits.Removals)}
	if e.Limits == (Limits{}) {
		return nil
	}
	r.hold(errOverLimit)
	return e
}

// removals names what a change takes away: each line that leaves nothing, or
// once the resource itself. A line is one whatever its kind, so that whoever
// reads a report can count.
func (c ResourceChange) removals() []string {
	if c.Action == Delete {
		return []string{c.Address}
	}
	var removed []string
	for _, d := range c.Lines {
		if d.After == nil && d.Before != nil {
			removed = append(removed, c.Address+" "+d.Path)
		}
	}
	return removed
}
