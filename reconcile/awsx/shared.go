package awsx

import (
	"context"
	"slices"
	"sync"
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

	keys []string

	once    sync.Once
	answers map[string]V
	err     error
}

// NewShared prepares a read. all answers with those keys that exist, one with
// the zero value where its key does not.
func NewShared[V any](
	all func(context.Context, []string) (map[string]V, error),
	one func(context.Context, string) (V, error),
) *Shared[V] {
	return &Shared[V]{all: all, one: one}
}

// For is a read of key for one asker, who must not call it concurrently. Its
// first call is shared; whoever asks again has written meanwhile, and gets a
// call of its own. All askers have to be known before the first of them asks.
func (s *Shared[V]) For(key string) Read[V] {
	if !slices.Contains(s.keys, key) {
		s.keys = append(s.keys, key)
	}
	var asked bool
	return func(ctx context.Context) (V, error) {
		if asked {
			return s.one(ctx, key)
		}
		asked = true
		s.once.Do(func() {
			s.err = Guard(func() (err error) {
				s.answers, err = s.all(ctx, s.keys)
				return err
			})
		})
		if s.err != nil {
			return s.one(ctx, key)
		}
		return s.answers[key], nil
	}
}
