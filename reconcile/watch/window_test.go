package watch

import (
	"strings"
	"testing"
	"time"
)

func mustWindow(t *testing.T, text string) Window {
	t.Helper()
	w, err := ParseWindow(text)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWindow(t *testing.T) {
	for _, test := range []struct {
		window, at string
		open       bool
		turn       string // "": never
	}{
		{"Mon-Fri 08:00-18:00 Europe/Stockholm", "2026-01-05T06:59:59Z", false, "2026-01-05T07:00:00Z"},
		{"Mon-Fri 08:00-18:00 Europe/Stockholm", "2026-01-05T07:00:00Z", true, "2026-01-05T17:00:00Z"},
		{"Mon-Fri 08:00-18:00 Europe/Stockholm", "2026-01-05T17:00:00Z", false, "2026-01-06T07:00:00Z"},
		// An hour earlier by UTC in summer, also over the weekend of the change.
		{"Mon-Fri 08:00-18:00 Europe/Stockholm", "2026-03-27T17:00:00Z", false, "2026-03-30T06:00:00Z"},
		{"mon-fri 08:00-18:00 Europe/Stockholm", "2026-10-23T16:00:00Z", false, "2026-10-26T07:00:00Z"},
		// Over midnight, and of the day that it begins on.
		{"Fri 22:00-04:00 UTC", "2026-01-09T21:00:00Z", false, "2026-01-09T22:00:00Z"},
		{"Fri 22:00-04:00 UTC", "2026-01-10T03:59:00Z", true, "2026-01-10T04:00:00Z"},
		{"Fri 22:00-04:00 UTC", "2026-01-09T03:59:00Z", false, "2026-01-09T22:00:00Z"},
		{"Sat-Sun,Wed 00:00-24:00 UTC", "2026-01-10T12:00:00Z", true, "2026-01-12T00:00:00Z"},
		{"Fri-Mon 00:00-24:00 UTC", "2026-01-10T12:00:00Z", true, "2026-01-13T00:00:00Z"},
		{"00:00-24:00 UTC", "2026-01-10T12:00:00Z", true, ""},
		// 02:00 to 03:00 is skipped on the last Sunday of March...
		{"Sun 02:30-04:00 Europe/Stockholm", "2026-03-29T00:59:59Z", false, "2026-03-29T01:00:00Z"},
		{"Sun 02:30-04:00 Europe/Stockholm", "2026-03-29T01:00:00Z", true, "2026-03-29T02:00:00Z"},
		{"Sun 02:00-03:00 Europe/Stockholm", "2026-03-28T12:00:00Z", false, "2026-04-05T00:00:00Z"},
		// ... and is there twice on the last of October.
		{"Sun 02:00-03:00 Europe/Stockholm", "2026-10-25T00:00:00Z", true, "2026-10-25T02:00:00Z"},
		{"Sun 01:30-02:30 Europe/Stockholm", "2026-10-25T00:29:00Z", true, "2026-10-25T00:30:00Z"},
		{"Sun 01:30-02:30 Europe/Stockholm", "2026-10-25T00:30:00Z", false, "2026-10-25T01:00:00Z"},
		{"Sun 01:30-02:30 Europe/Stockholm", "2026-10-25T01:00:00Z", true, "2026-10-25T01:30:00Z"},
		// Half an hour is enough where the clock is set by half an hour.
		{"Sun 01:00-02:15 Australia/Lord_Howe", "2026-10-03T15:00:00Z", true, "2026-10-03T15:30:00Z"},
	} {
		ws := Windows{mustWindow(t, test.window)}
		when := at(t, test.at)
		if open := ws.Open(when); open != test.open {
			t.Errorf("%s at %s: open is %v", test.window, test.at, open)
		}
		var want time.Time
		if test.turn != "" {
			want = at(t, test.turn)
		}
		if turn := ws.Turn(when); !turn.Equal(want) {
			t.Errorf("%s at %s: turns %s, want %s", test.window, test.at, turn.UTC(), want)
		}
	}
}

// Turn misses nothing that a walk through a year by the minute finds.
func TestWindowYear(t *testing.T) {
	ws := Windows{
		mustWindow(t, "Mon-Fri 08:00-18:00 Europe/Stockholm"),
		mustWindow(t, "Sat,Sun 23:30-02:30 America/New_York"),
		mustWindow(t, "Sun 01:45-02:15 Europe/Stockholm"),
	}
	now := at(t, "2026-01-01T00:00:00Z")
	turn := ws.Turn(now)
	for end := now.AddDate(1, 0, 0); now.Before(end); {
		next := now.Add(time.Minute)
		turns := ws.Open(next) != ws.Open(now)
		if turns != turn.Equal(next) {
			t.Fatalf("at %s: open %v then %v, and the turn was to be %s", next, ws.Open(now), ws.Open(next), turn.UTC())
		}
		if now = next; turns {
			turn = ws.Turn(now)
		}
	}
}

func TestWindowMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "are wanted, as in",
		"always":                            "are wanted, as in",
		"08:00-18:00":                       "a time zone is wanted",
		"Mon-Fri 08:00-18:00":               "a time zone is wanted",
		"Mon 08:00-18:00 UTC now":           "are wanted, as in",
		"Mo-Fri 08:00-18:00 UTC":            `"Mo" is no day`,
		"Mon- 08:00-18:00 UTC":              `"" is no day`,
		"Mon 8-18 UTC":                      `"8" is no time of day`,
		"Mon 8:00-18:00 UTC":                `"8:00" is no time of day`,
		"Mon 08:00-25:00 UTC":               `"25:00" is no time of day`,
		"Mon 08:00-24:01 UTC":               `"24:01" is no time of day`,
		"Mon 24:00-02:00 UTC":               "a day begins at 00:00",
		"Mon 08:00-08:00 UTC":               "00:00-24:00",
		"Mon 08:00-18:00 Europe/Stokholm":   "Europe/Stokholm is no time zone",
		"Mon 08:00-18:00 Local":             "Local is no time zone",
		"Mon 08:00-18:00 ../../etc/passwd":  "no time zone",
		"Mon 08:00–18:00 Europe/Stockholm":  "no range of hours",
		"Mon-Fri 08:00-18:00 UTC 2026 Jan ": "are wanted, as in",
	} {
		if _, err := ParseWindow(text); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "window ") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
