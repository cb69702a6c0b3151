package awsx

import (
	"net/http"
	"sync/atomic"
	"time"
)

// A Clock tells AWS's time: the machine's own, corrected by the Date header of
// what AWS answered last. What is compared with dates of AWS's, or read on
// another machine, is told by it.
type Clock struct {
	now   func() time.Time
	ahead atomic.Int64 // by how much AWS's clock is ahead of the machine's
}

// NewClock makes a clock that agrees with now until AWS has answered.
func NewClock(now func() time.Time) *Clock { return &Clock{now: now} }

// Now is AWS's time, by the second.
func (c *Clock) Now() time.Time { return c.now().Add(time.Duration(c.ahead.Load())) }

func (c *Clock) correct(h http.Header) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		c.ahead.Store(int64(date.Sub(c.now())))
	}
}
