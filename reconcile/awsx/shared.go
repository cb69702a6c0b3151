package awsx

import (
	"context"
	"slices"
	"sync"
)

// Shared is a read that several askers have in common. The first time each of
// them asks, one call answers for all. Whoever asks again, because it has
// written meanwhile, gets a call of its own. Where the common read fails, be
// it that AWS refuses a batch for one bad name or that the call is denied,
// every asker reads for itself and meets its own error.
type Shared[V any] struct {
	all  func(context.Context, []string) (map[string]V, error)
	one  func(context.Context, string) (V, error)
	keys []string // distinct, sorted

	mu   sync.Mutex
	left map[string]int // askers that have not asked yet

	once    sync.Once
	answers map[string]V
	err     error
}

// NewShared prepares a read of keys; a key that stands there twice has two
// askers. all answers with those keys that exist. one answers with the zero
// value where its key does not.
func NewShared[V any](
	all func(context.Context, []string) (map[string]V, error),
	one func(context.Context, string) (V, error),
	keys ...string,
) *Shared[V] {
	left := make(map[string]int, len(keys))
	for _, k := range keys {
		left[k]++
	}
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return &Shared[V]{all: all, one: one, keys: slices.Compact(keys), left: left}
}

// Get answers for key.
func (s *Shared[V]) Get(ctx context.Context, key string) (V, error) {
	if !s.first(key) {
		return s.one(ctx, key)
	}
	s.once.Do(func() { s.answers, s.err = s.all(ctx, s.keys) })
	if s.err != nil {
		return s.one(ctx, key)
	}
	return s.answers[key], nil
}

func (s *Shared[V]) first(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left[key] == 0 {
		return false
	}
	s.left[key]--
	return true
}
