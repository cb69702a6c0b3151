package watch

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Window is a part of the week, as the clock on a wall shows it there. Where
// that clock is set forward, what it skips is missing from the window; where it
// is set back, what it shows twice is in the window twice.
type Window struct {
	text       string
	days       [7]bool // on which it begins; by time.Weekday
	start, end minutes // of the day; end is before start where it is over midnight
	at         *time.Location
}

// minutes since midnight by the clock on the wall.
type minutes int

const midnight minutes = 24 * 60

// ParseWindow reads a window: days, hours and a time zone, as in
// "Mon-Fri 08:00-18:00 Europe/Stockholm". Days may be a list and a range may go
// over the weekend, as in "Fri-Sun,Wed"; without days it is every day. Hours may
// go over midnight, and belong to the day that they begin on.
func ParseWindow(text string) (Window, error) {
	fail := func(format string, args ...any) (Window, error) {
		return Window{}, fmt.Errorf("window %q: %s", text, fmt.Sprintf(format, args...))
	}
	fields := strings.Fields(text)
	if n := len(fields); n > 0 && n < 3 && strings.Contains(fields[n-1], ":") {
		return fail("a time zone is wanted behind the hours, as in %s Europe/Stockholm", text)
	}
	w := Window{text: strings.Join(fields, " "), days: [7]bool{true, true, true, true, true, true, true}}
	if len(fields) == 3 {
		var err error
		if w.days, err = parseDays(fields[0]); err != nil {
			return fail("%v", err)
		}
		fields = fields[1:]
	}
	if len(fields) != 2 {
		return fail("days, hours and a time zone are wanted, as in Mon-Fri 08:00-18:00 Europe/Stockholm")
	}
	var err error
	if w.start, w.end, err = parseHours(fields[0]); err != nil {
		return fail("%v", err)
	}
	// LoadLocation takes Local as well, which is another place on each machine.
	if w.at, err = time.LoadLocation(fields[1]); err != nil || strings.EqualFold(fields[1], "local") {
		return fail("%s is no time zone; one is UTC, or a city's as in Europe/Stockholm", fields[1])
	}
	return w, nil
}

var dayNames = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

func parseDays(text string) (days [7]bool, err error) {
	day := func(name string) (int, error) {
		i := slices.IndexFunc(dayNames, func(d string) bool { return strings.EqualFold(d, name) })
		if i < 0 {
			return 0, fmt.Errorf("%q is no day; the days are %s", name, strings.Join(dayNames, ", "))
		}
		return i, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := day(from)
		if err != nil {
			return days, err
		}
		last := first
		if isRange {
			if last, err = day(to); err != nil {
				return days, err
			}
		}
		for d := first; ; d = (d + 1) % 7 {
			days[d] = true
			if d == last {
				break
			}
		}
	}
	return days, nil
}

func parseHours(text string) (start, end minutes, err error) {
	from, to, ok := strings.Cut(text, "-")
	if !ok {
		return 0, 0, fmt.Errorf("%q is no range of hours; one looks like 08:00-18:00", text)
	}
	if start, err = parseClock(from); err != nil {
		return 0, 0, err
	}
	if end, err = parseClock(to); err != nil {
		return 0, 0, err
	}
	switch {
	case start == midnight:
		return 0, 0, fmt.Errorf("%s: a day begins at 00:00", text)
	case start == end:
		return 0, 0, fmt.Errorf("%s begins when it ends; the whole day is 00:00-24:00", text)
	}
	return start, end, nil
}

func parseClock(text string) (minutes, error) {
	if text == "24:00" {
		return midnight, nil
	}
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, fmt.Errorf("%q is no time of day; one looks like 08:00, and the last is 24:00", text)
	}
	return minutes(t.Hour()*60 + t.Minute()), nil
}

func (w Window) String() string { return w.text }

func (w Window) open(t time.Time) bool {
	t = t.In(w.at)
	now := minutes(t.Hour()*60 + t.Minute())
	today := int(t.Weekday())
	if w.start < w.end {
		return w.days[today] && now >= w.start && now < w.end
	}
	return w.days[today] && now >= w.start || w.days[(today+6)%7] && now < w.end
}

// turn is the next time after t at which the window may open or close: one of
// its hours, midnight, or where the clock on the wall is set.
func (w Window) turn(t time.Time) time.Time {
	t = t.In(w.at)
	now := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute +
		time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
	next := time.Duration(midnight) * time.Minute
	for _, hour := range []minutes{w.start, w.end} {
		if at := time.Duration(hour) * time.Minute; at > now && at < next {
			next = at
		}
	}
	turn := t.Add(next - now)
	if _, set := t.ZoneBounds(); !set.IsZero() && set.Before(turn) {
		return set
	}
	return turn
}

// Windows say when something may be written: while one of them is open, or at
// any time where there are none.
type Windows []Window

// Open says whether something may be written at t.
func (ws Windows) Open(t time.Time) bool {
	return len(ws) == 0 || slices.ContainsFunc(ws, func(w Window) bool { return w.open(t) })
}

// Turn is the next time after t at which Open has another answer than at t; the
// zero time where there is none.
func (ws Windows) Turn(t time.Time) time.Time {
	if len(ws) == 0 {
		return time.Time{}
	}
	open := ws.Open(t)
	// A week repeats itself, save where clocks are set.
	for end := t.AddDate(0, 0, 15); t.Before(end); {
		var next time.Time
		for _, w := range ws {
			if turn := w.turn(t); next.IsZero() || turn.Before(next) {
				next = turn
			}
		}
		if t = next; ws.Open(t) != open {
			return t
		}
	}
	return time.Time{}
}
