package awsx

import (
	"context"
)

// A Read asks AWS for one thing, each time it is called. It answers the zero
// value for what does not exist.
type Read[V any] func(context.Context) (V, error)

// Shared is a read that several askers have in common: the first time that
// each of them asks, one call answers for all. Where that call fails, be it
// that AWS refuses a batch for one bad name or that it is denied, every asker
// reads for itself and meets its own error.
type Shared[V any] struct {
	all func(context.Context, []string) (map[string]V, error)
	one func(context.Context, string) (V, error)

	keys  []string
	known map[string]bool

	call    Single
	answers map[string]V
}

// NewShared prepares a read. all answers with those keys that exist, one with
// the zero value where its key does not.
func NewShared[V any](
	all func(context.Context, []string) (map[string]V, error),
	one func(context.Context, string) (V, error),
) *Shared[V] {
	return &Shared[V]{all: all, one: one, known: map[string]bool{}, call: NewSingle()}
}

// For is a read of key for one asker, who must not call it concurrently. Its
// first call is shared; whoever asks again has written meanwhile, and gets a
// call of its own. All askers have to be known before the first of them asks.
func (s *Shared[V]) For(key string) Read[V] {
	if !s.known[key] {
		s.known[key] = true
		s.keys = append(s.keys, key)
	}
	var asked bool
	return func(ctx context.Context) (V, error) {
		if asked {
			return s.one(ctx, key)
		}
		asked = true
		err := s.call.Do(ctx, func() (err error) {
			s.answers, err = s.all(ctx, s.keys)
			return err
		})
		if err != nil {
			return s.one(ctx, key)
		}
		return s.answers[key], nil
	}
}

// A Single is what the first of several askers does for all. Unlike with a
// sync.Once, those that wait for it give up when their contexts end.
type Single struct {
	begun chan struct{} // holds one until it is begun
	ended chan struct{}
	err   *error
}

// NewSingle prepares a Single.
func NewSingle() Single {
	s := Single{begun: make(chan struct{}, 1), ended: make(chan struct{}), err: new(error)}
	s.begun <- struct{}{}
	return s
}

// Do does do, unless another asker has begun to, and answers with its error.
func (s Single) Do(ctx context.Context, do func() error) error {
	select {
	case <-s.begun:
		*s.err = Guard(do)
		close(s.ended)
		return *s.err
	case <-s.ended:
		return *s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
