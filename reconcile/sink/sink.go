// Package sink delivers access keys: the secret half of a key leaves the
// process here and nowhere else.
package sink

import (
	"context"
	"log/slog"
	"time"
)

// A Secret is text that no log, report or error may show. Every way of
// printing it gives a placeholder; Reveal is the one way to the text.
type Secret struct{ text string }

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal gives the text, for the one line that delivers it.
func (s Secret) Reveal() string { return s.text }

func (Secret) String() string               { return "[secret]" }
func (Secret) GoString() string             { return "[secret]" }
func (Secret) LogValue() slog.Value         { return slog.StringValue("[secret]") }
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// A Key is a key pair on its way.
type Key struct {
	ID     string
	Secret Secret
	User   string

	// Ours are the ids of this stack's keys, as far as AWS tells. They may be
	// overwritten; any other one that a sink has may be somebody's.
	Ours []string
}

// A Sink is a place that a key pair is delivered to.
type Sink interface {
	// String names the place, for reports and errors.
	String() string
	// Shared says that the place is the same one wherever a run takes place,
	// so that a pair that is not there is missing. A file is not: it may be
	// on another machine.
	Shared() bool
	// Tells says that Holds knows one pair from another. GitHub shows a date
	// and nothing else, so that any later pair looks like the one asked for.
	Tells() bool
	// Check says whether a delivery would be let in, before there is a key
	// to lose; ours is what Key.Ours will be.
	Check(ctx context.Context, ours []string) error
	// Holds says whether the pair with this id, made at that time, is there
	// with both its halves.
	Holds(ctx context.Context, id string, made time.Time) (bool, error)
	// Deliver puts the pair there. Delivering again replaces what was
	// delivered.
	Deliver(context.Context, Key) error
	// Forget takes the pair with this id out, where it is still the one that is
	// there and the place is this stack's. Forgetting again does nothing.
	Forget(ctx context.Context, id string) error
}
