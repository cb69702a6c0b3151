package awsx

import (
	"sync"
	"time"
)

// The rates of a pace, in calls a second.
const (
	// firstRate is where a pace begins once AWS has asked for one: above what
	// IAM, ECR and ECS let through for long, and a fraction of what S3 does.
	firstRate = 50

	// lowestRate still makes a call every other second.
	lowestRate = 0.5

	// backOff is what AWS's refusal leaves of a rate. What is lost by too low
	// a rate weighs more than a refused call, which costs AWS and us little.
	backOff = 0.7

	// speedUp is what each call that passes adds to the rate: a tenth in a
	// second, whatever the rate is.
	speedUp = 0.1
)

// A pace is a rate of calls that learns from what AWS refuses: additive in
// what each call adds, multiplicative in what a refusal takes, as TCP does it.
// Several processes that share an account come to share its rate this way. The
// zero value lets everything through, and does until the first refusal.
type pace struct {
	mu   sync.Mutex
	rate float64   // 0: AWS has never asked to slow down
	next time.Time // the first turn that is not given away
	cut  time.Time // when the rate was last lowered
}

// turn gives the next turn to a call that asks for it now.
func (p *pace) turn(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate == 0 {
		return now
	}
	turn := p.next
	if turn.Before(now) {
		turn = now
	}
	p.next = turn.Add(time.Duration(float64(time.Second) / p.rate))
	return turn
}

// passed tells of a call that AWS did not refuse for its rate.
func (p *pace) passed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate > 0 {
		p.rate += speedUp
	}
}

// throttled tells of a refused call that asked for its turn at asked, and
// answers the rate from now on. A turn that was given before the rate was last
// lowered says nothing of the rate that there has been since.
func (p *pace) throttled(asked, now time.Time) (perSecond float64, slower bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if asked.Before(p.cut) {
		return p.rate, false
	}
	p.cut = now
	if p.rate == 0 {
		p.rate = firstRate
	} else {
		p.rate = max(lowestRate, p.rate*backOff)
	}
	return p.rate, true
}
