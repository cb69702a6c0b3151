package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// maxInFlight is how many resources the status area lists.
const maxInFlight = 8

// ProgressOptions says where progress is shown. On a terminal all fields are
// needed, elsewhere none.
type ProgressOptions struct {
	Terminal bool
	Width    func() int       // the terminal's columns, asked at each redraw; 0: unknown
	Now      func() time.Time // for how long a call has been in flight
	Tick     <-chan time.Time // redraws, so that the seconds go on
}

// Progress shows a run as it goes: on a terminal a status area that is redrawn
// in place and gone at the end, elsewhere a line per finished resource that
// was not in sync. Its methods may be called concurrently. Errors of writing
// are ignored; a run does not fail because nobody can watch it.
type Progress struct {
	o    ProgressOptions
	stop chan struct{}
	done chan struct{}

	mu       sync.Mutex
	w        io.Writer
	flying   []flight       // in the order of their start
	slow     []slow         // sorted by service
	told     map[string]int // words of each resource's long steps
	total    int            // resources; 0 until it is known
	looked   int
	finished int
	ticked   bool
	drawn    int // lines on the screen
	hidden   bool
	stopped  bool
}

type flight struct {
	stack string // "" where there is one only
	id    spec.ID
	what  string
	since time.Time
}

// A slow service is one of which AWS has asked for fewer calls.
type slow struct {
	service   string
	perSecond float64
	since     time.Time // of the last time
}

// slowFor is how long it is said that AWS slows a service down.
const slowFor = 10 * time.Second

// NewProgress begins to show progress on w: on a terminal from the first tick
// on, as AWS may already be asked who is calling. Stop has to be called.
func NewProgress(w io.Writer, o ProgressOptions) *Progress {
	p := &Progress{o: o, w: w, told: map[string]int{}, stop: make(chan struct{}), done: make(chan struct{})}
	if !o.Terminal {
		close(p.done)
		return p
	}
	go func() {
		defer close(p.done)
		for {
			select {
			case <-p.stop:
				return
			case <-o.Tick:
				p.redraw(func() { p.ticked = true })
			}
		}
	}()
	return p
}

// Looking says how many resources are about to be read.
func (p *Progress) Looking(total int) { p.Of("").Looking(total) }

// Looked says that one of them was.
func (p *Progress) Looked(id spec.ID) { p.Of("").Looked(id) }

// Started says that work on a resource goes on, and with which API call.
func (p *Progress) Started(id spec.ID, call string) { p.Of("").Started(id, call) }

// Progressed says how far a long step has come.
func (p *Progress) Progressed(id spec.ID, said string) { p.Of("").Progressed(id, said) }

// Finished says that a resource is through.
func (p *Progress) Finished(res reconcile.Result) { p.Of("").Finished(res) }

// Of is the part of the progress that is about one of several stacks.
func (p *Progress) Of(stack string) reconcile.Observer { return stackProgress{p, stack} }

type stackProgress struct {
	p     *Progress
	stack string
}

func (s stackProgress) Looking(total int) { s.p.redraw(func() { s.p.total += total }) }

func (s stackProgress) Looked(spec.ID) { s.p.redraw(func() { s.p.looked++ }) }

func (s stackProgress) Started(id spec.ID, call string) {
	p := s.p
	if !p.o.Terminal {
		return
	}
	p.redraw(func() {
		if i := p.find(s.stack, id); i >= 0 {
			p.flying[i].what = call
			return
		}
		p.flying = append(p.flying, flight{s.stack, id, call, p.o.Now()})
	})
}

// Progressed tells elsewhere than on a terminal, where every line stays, the
// first word of a resource, the second, the fourth, the eighth, and so on.
func (s stackProgress) Progressed(id spec.ID, said string) {
	p := s.p
	if p.o.Terminal {
		s.Started(id, said)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	name := labelled(s.stack, id)
	p.told[name]++
	if n := p.told[name]; n&(n-1) == 0 {
		fmt.Fprintf(p.w, "%s: %s\n", name, printable(said))
	}
}

func (s stackProgress) Finished(res reconcile.Result) {
	p := s.p
	if p.o.Terminal {
		p.redraw(func() {
			p.finished++
			if i := p.find(s.stack, res.ID); i >= 0 {
				p.flying = slices.Delete(p.flying, i, i+1)
			}
		})
		return
	}
	if text := outcome(res); text != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		fmt.Fprintf(p.w, "%s: %s\n", labelled(s.stack, res.ID), text)
	}
}

// labelled names a resource, behind its stack where there are several.
func labelled(stack string, id spec.ID) string {
	if stack == "" {
		return printable(id.String())
	}
	return printable(stack + ": " + id.String())
}

// Slowed says that AWS asks for fewer calls of a service, and how many a second
// are made from now on.
func (p *Progress) Slowed(service string, perSecond float64) {
	if !p.o.Terminal {
		return
	}
	p.redraw(func() {
		now := slow{service, perSecond, p.o.Now()}
		i, ok := slices.BinarySearchFunc(p.slow, service, func(s slow, name string) int { return strings.Compare(s.service, name) })
		if ok {
			p.slow[i] = now
			return
		}
		p.slow = slices.Insert(p.slow, i, now)
	})
}

// Write puts whole lines, such as a log's, above the status area.
func (p *Progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	io.WriteString(p.w, p.erase())
	n, err := p.w.Write(b)
	io.WriteString(p.w, p.draw())
	return n, err
}

// Hide takes the status area off the screen until it is shown again, so that
// the terminal is free for a question.
func (p *Progress) Hide() { p.redraw(func() { p.hidden = true }) }

// Show brings the status area back.
func (p *Progress) Show() { p.redraw(func() { p.hidden = false }) }

// Stop takes the status area off the screen. Nothing is drawn after it.
func (p *Progress) Stop() {
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return
	}
	io.WriteString(p.w, p.erase())
	p.stopped = true
	p.mu.Unlock()
	close(p.stop)
	<-p.done
}

// outcome is how a line of the log puts a result; "" for what is in sync. Why
// something failed is for the report to say.
func outcome(res reconcile.Result) string {
	switch res.Status {
	case reconcile.Failed, reconcile.Skipped, reconcile.Unconfirmed, reconcile.Held:
		return string(res.Status)
	case reconcile.Planned:
		return "to " + string(res.Action)
	case reconcile.Done:
		return string(res.Action) + "d"
	}
	return ""
}

func (p *Progress) find(stack string, id spec.ID) int {
	return slices.IndexFunc(p.flying, func(f flight) bool { return f.stack == stack && f.id == id })
}

func (p *Progress) redraw(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	io.WriteString(p.w, p.erase()+p.draw()) // at once, or it flickers
}

// erase returns what moves to the first line of the status area and clears
// the screen from there on.
func (p *Progress) erase() string {
	if p.drawn == 0 {
		return ""
	}
	n := p.drawn
	p.drawn = 0
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", n)
}

// draw returns the status area.
func (p *Progress) draw() string {
	if !p.o.Terminal || p.stopped || p.hidden || p.total == 0 && !p.ticked {
		return ""
	}
	var lines []string
	for _, f := range p.flying[:min(len(p.flying), maxInFlight)] {
		lines = append(lines, fmt.Sprintf("  %s  %s  %ds",
			labelled(f.stack, f.id), printable(f.what), int(p.o.Now().Sub(f.since).Seconds())))
	}
	for _, s := range p.slow {
		if p.o.Now().Sub(s.since) < slowFor {
			lines = append(lines, fmt.Sprintf("  aws slows %s down, to %.3g calls a second", printable(s.service), s.perSecond))
		}
	}
	lines = append(lines, "  "+p.phase())
	width := p.o.Width()
	for i := range lines {
		lines[i] = fit(lines[i], width) + "\n"
	}
	p.drawn = len(lines)
	return strings.Join(lines, "")
}

// phase is how far the run is as a whole.
func (p *Progress) phase() string {
	switch {
	case p.total == 0:
		return "asking aws who is calling"
	case len(p.flying)+p.finished == 0:
		return fmt.Sprintf("reading %d of %d", p.looked, p.total)
	}
	return fmt.Sprintf("%d in flight, %d of %d finished", len(p.flying), p.finished, p.total)
}

// fit cuts a line so that the terminal does not wrap it, which would make the
// status area higher than erase expects. The last column stays free, because
// some terminals wrap as soon as it is written to.
func fit(line string, width int) string {
	if width <= 0 {
		width = 80
	}
	columns := 0
	for i, r := range line {
		columns++
		// From Hangul on, characters may be two columns wide.
		if r >= 0x1100 {
			columns++
		}
		if columns >= width {
			return line[:i]
		}
	}
	return line
}
