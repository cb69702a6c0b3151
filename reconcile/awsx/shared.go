package awsx

import (
	"context"
	"sync"
)

// Shared is a read that several askers have in common: the first time that
// each of them asks, one call answers for all. Where that call fails, be it
// that AWS refuses a batch for one bad name or that it is denied, every asker
// reads for itself and meets its own error.
type Shared[V any] struct {
	all func(context.Context, []string) (map[string]V, error)
	one func(context.Context, string) (V, error)

	mu   sync.Mutex
	left map[string]int // askers by key that have not asked yet

	call    Single
	keys    []string
	answers map[string]V
}

// NewShared prepares a read of keys, one for each asker: a key that two ask
// for stands there twice. all answers with those keys that exist, one with the
// zero value where its key does not.
func NewShared[V any](
	keys []string,
	all func(context.Context, []string) (map[string]V, error),
	one func(context.Context, string) (V, error),
) *Shared[V] {
	s := &Shared[V]{all: all, one: one, left: make(map[string]int, len(keys)), call: NewSingle()}
	for _, key := range keys {
		if s.left[key]++; s.left[key] == 1 {
			s.keys = append(s.keys, key)
		}
	}
	return s
}

// Get reads key. Whoever asks again has written meanwhile, and gets a call of
// its own, as does a key that was not prepared for.
func (s *Shared[V]) Get(ctx context.Context, key string) (V, error) {
	s.mu.Lock()
	first := s.left[key] > 0
	s.left[key]--
	s.mu.Unlock()
	if !first {
		return s.one(ctx, key)
	}
	err := s.call.Do(ctx, func() (err error) {
		s.answers, err = s.all(ctx, s.keys)
		return err
	})
	if err != nil {
		return s.one(ctx, key)
	}
	return s.answers[key], nil
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
