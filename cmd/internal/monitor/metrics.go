package monitor

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/watch"
)

// buckets are the upper bounds of the histogram of rounds, in seconds.
var buckets = []float64{0.5, 1, 2.5, 5, 10, 30, 60, 300, 900}

// counters are what no state holds.
type counters struct {
	mu       sync.Mutex
	calls    map[call]int
	rounds   []int // by bucket, the last without a bound
	duration time.Duration
}

type call struct{ service, operation, outcome string }

func newCounters() counters {
	return counters{calls: map[call]int{}, rounds: make([]int, len(buckets)+1)}
}

// Called counts an attempt of a call of AWS's.
func (c *counters) Called(service, operation string, err error) {
	outcome := "ok"
	code := awsx.Code(err)
	switch {
	case strings.Contains(code, "NotFound"), strings.HasPrefix(code, "NoSuch"):
		outcome = "not_found" // which is how AWS says that something is not there yet
	case awsx.Throttled(err):
		outcome = "throttled"
	case err != nil:
		outcome = "error"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[call{service, operation, outcome}]++
}

// Ended counts a round.
func (c *counters) Ended(e watch.Ended) {
	i, _ := slices.BinarySearch(buckets, e.Took.Seconds())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rounds[i]++
	c.duration += e.Took
}

var statuses = []reconcile.Status{
	reconcile.InSync, reconcile.Planned, reconcile.Done, reconcile.Failed, reconcile.Unconfirmed, reconcile.Skipped, reconcile.Held,
}

// metrics writes Prometheus's text format:
// https://prometheus.io/docs/instrumenting/exposition_formats.
func (m *Monitor) metrics(w http.ResponseWriter, _ *http.Request) {
	watching := m.Watch()
	var e exposition
	e.family("churn_reconcile_build_info", "gauge", "Which version this is.")
	e.sample(1, "version", watching.Version)
	e.family("churn_reconcile_interval_seconds", "gauge", "From one round to the next, as asked for by --every.")
	e.sample(watching.Every.Seconds())

	e.family("churn_reconcile_rounds_total", "counter", "Rounds by how they ended.")
	for _, s := range watching.Stacks {
		for _, o := range watch.Outcomes {
			e.sample(float64(s.Rounds[o]), "stack", s.Name, "outcome", string(o))
		}
	}
	e.family("churn_reconcile_last_success_timestamp_seconds", "gauge", "When the last round ended that did not fail; 0 before there was one.")
	for _, s := range watching.Stacks {
		seconds := 0.0
		if !s.LastSuccess.IsZero() {
			seconds = float64(s.LastSuccess.UnixMilli()) / 1000
		}
		e.sample(seconds, "stack", s.Name)
	}
	e.family("churn_reconcile_spec_valid", "gauge", "1 where the spec as it is now is in force, 0 where it is no good and the last good one is.")
	for _, s := range watching.Stacks {
		e.sample(btof(s.SpecErr == nil), "stack", s.Name)
	}
	e.family("churn_reconcile_writes_allowed", "gauge", "1 where the last round was allowed to write, 0 where it only looked.")
	for _, s := range watching.Stacks {
		e.sample(btof(s.Mode == watch.Correct), "stack", s.Name)
	}
	e.family("churn_reconcile_resources", "gauge", "Resources by what the last round said of them.")
	for _, s := range watching.Stacks {
		counts := map[reconcile.Status]int{}
		if s.Report != nil {
			for _, r := range s.Report.Results {
				counts[r.Status]++
			}
		}
		for _, status := range statuses {
			e.sample(float64(counts[status]), "stack", s.Name, "status", string(status))
		}
	}
	e.family("churn_reconcile_drifted", "gauge", "Resources that are not as the spec says, or of which that cannot be known.")
	for _, s := range watching.Stacks {
		e.sample(float64(s.Count(watch.Drift)+s.Count(watch.Stuck)), "stack", s.Name)
	}
	e.family("churn_reconcile_drift_seconds", "gauge", "For how long a resource has not been as the spec says, as far as this process has seen.")
	each(watching.Stacks, func(s watch.State, address string, r watch.Resource) {
		if r.Condition != watch.Well {
			e.sample(watching.Now.Sub(r.Since).Seconds(), "stack", s.Name, "address", address)
		}
	})
	e.family("churn_reconcile_corrections_total", "counter", "How often a resource was brought to what the spec says.")
	each(watching.Stacks, func(s watch.State, address string, r watch.Resource) {
		if r.Corrections > 0 {
			e.sample(float64(r.Corrections), "stack", s.Name, "address", address)
		}
	})
	if m.Notifications != nil {
		e.family("churn_reconcile_notifications_total", "counter", "Requests to receivers of notifications, by what became of them.")
		for i, n := range m.Notifications() {
			number := strconv.Itoa(i + 1)
			e.sample(float64(n.Sent), "receiver", n.Receiver, "number", number, "outcome", "sent")
			e.sample(float64(n.Failed), "receiver", n.Receiver, "number", number, "outcome", "failed")
			e.sample(float64(n.Lost), "receiver", n.Receiver, "number", number, "outcome", "lost")
		}
	}
	m.counters.write(&e)
	write(w, "text/plain; version=0.0.4; charset=utf-8", e.text.Bytes())
}

func (c *counters) write(e *exposition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.family("churn_reconcile_round_duration_seconds", "histogram", "How long rounds took.")
	n := 0
	for i, in := range c.rounds {
		bound := math.Inf(1)
		if i < len(buckets) {
			bound = buckets[i]
		}
		n += in
		e.sampleOf("_bucket", float64(n), "le", number(bound))
	}
	e.sampleOf("_sum", c.duration.Seconds())
	e.sampleOf("_count", float64(n))

	e.family("churn_reconcile_api_calls_total", "counter", "Attempts of calls of AWS's API, by how they ended.")
	for _, k := range slices.SortedFunc(maps.Keys(c.calls), func(a, b call) int {
		return strings.Compare(a.service+" "+a.operation+" "+a.outcome, b.service+" "+b.operation+" "+b.outcome)
	}) {
		e.sample(float64(c.calls[k]), "service", k.service, "call", k.operation, "outcome", k.outcome)
	}
}

func each(stacks []watch.State, do func(watch.State, string, watch.Resource)) {
	for _, s := range stacks {
		for _, address := range slices.Sorted(maps.Keys(s.Resources)) {
			do(s, address, s.Resources[address])
		}
	}
}

func btof(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// An exposition is metrics as text.
type exposition struct {
	text bytes.Buffer
	name string
}

func (e *exposition) family(name, kind, help string) {
	e.name = name
	fmt.Fprintf(&e.text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample writes a value of the family, with labels as name and value in turn.
func (e *exposition) sample(value float64, labels ...string) { e.sampleOf("", value, labels...) }

func (e *exposition) sampleOf(suffix string, value float64, labels ...string) {
	e.text.WriteString(e.name + suffix)
	for i := 0; i < len(labels); i += 2 {
		e.text.WriteString(map[bool]string{true: "{", false: ","}[i == 0] + labels[i] + `="` + labelValue.Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD")) + `"`)
	}
	if len(labels) > 0 {
		e.text.WriteString("}")
	}
	e.text.WriteString(" " + number(value) + "\n")
}

var labelValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func number(f float64) string {
	if math.IsInf(f, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}
