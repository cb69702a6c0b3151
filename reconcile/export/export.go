// Package export reads resources whole, for a spec that declares them as they
// are.
package export

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A Kind is a kind of resource that can be exported.
type Kind[S spec.Resource, F any] interface {
	reconcile.Kind[S, F]

	// Brief is a resource without what AWS gives one of which nothing is said:
	// a spec need not say it either.
	Brief(S) S
}

// A Want is one resource to export: what to look for, and which of its fields to
// write.
//
// An access key is wanted by its own address. It comes with its user, of which
// no more than the name is written where it is not wanted itself.
type Want struct {
	ID   spec.ID
	Path string // IAM's path, where it is known; "": it is looked for

	// Fields are the spec's fields to write, whether AWS has its default in them
	// or not, beside those that a spec has to have. nil: all that is live and
	// not a default, and with a user its access key. AWS knows nothing of
	// forceDestroy and forceDelete: they are true where they are named.
	Fields []string

	Comments []string // to stand above it, a line each
}

// A Reader reads one resource of a kind whole; nil where there is none.
type Reader func(ctx context.Context, want Want, all bool) (spec.Resource, error)

// An Account is where to export from.
type Account struct {
	spec.Identity
	Readers map[spec.Kind]Reader
	HasKey  func(ctx context.Context, user string) (bool, error) // whether a user has an access key

	// Tagged finds what carries a tag. A group carries none.
	Tagged func(ctx context.Context, key, value string) ([]Want, error)
}

// Options say what to write of what is read.
type Options struct {
	All  bool          // AWS's defaults, too
	Read func(spec.ID) // told of each resource when it was read, side by side with others; nil: nobody is
}

// A Left is what was wanted and is left out.
type Left struct {
	ID  spec.ID
	Err error
}

// ErrAbsent says that AWS has no such resource.
var ErrAbsent = errors.New("aws has no such resource")

// ErrNoKey says that a user has no access key.
var ErrNoKey = errors.New("the user has no access key")

// Export describes what is wanted. The draft lacks the stack's name and outputs
// yet. What cannot be read is left out of it, and told.
func (a *Account) Export(ctx context.Context, wants []Want, o Options) (spec.Draft, []Left) {
	draft := spec.Draft{Region: a.Region, Account: a.Account, Partition: a.Partition, Comments: map[spec.ID][]string{}}
	targets := gather(wants)
	var reads awsx.Reads
	for _, t := range targets {
		reads.Go(func() error {
			t.read(ctx, a, o.All)
			if o.Read != nil {
				o.Read(t.ID)
			}
			return nil
		})
	}
	var left []Left
	if err := reads.Wait(); err != nil {
		left = append(left, Left{Err: err}) // a panic
	}
	for _, t := range targets {
		if t.err != nil && t.wanted {
			left = append(left, Left{t.ID, t.err})
		}
		if t.key != nil && t.keyErr != nil {
			left = append(left, Left{t.key.ID, t.keyErr})
		}
		if t.found == nil {
			continue
		}
		draft.Resources = append(draft.Resources, t.found)
		draft.Comments[t.ID] = t.Comments
		if t.key != nil {
			draft.Comments[t.key.ID] = t.key.Comments
			if len(t.key.Comments) == 0 {
				draft.Comments[t.key.ID] = keyComment
			}
		}
	}
	return draft, left
}

// keyComment stands above an access key of which nothing more is known: neither its secret nor where it went
// can be found out.
var keyComment = []string{
	"The key that the user has is kept. AWS tells its secret to nobody twice, nor",
	"where it was delivered to: name that place here, for the key's successor.",
}

// A target is a resource to read, a user with its key.
type target struct {
	Want
	wanted bool  // for its own sake, not only for its key's
	key    *Want // the user's access key, where that is wanted

	found       spec.Resource // nil: left out
	err, keyErr error
}

// gather puts the keys to their users. What is wanted twice is read once.
func gather(wants []Want) []*target {
	var targets []*target
	byID := map[spec.ID]*target{}
	add := func(w Want) *target {
		t := byID[w.ID]
		if t == nil {
			t = &target{Want: w}
			byID[w.ID] = t
			targets = append(targets, t)
		}
		return t
	}
	for _, w := range wants {
		if w.ID.Kind != spec.AccessKey {
			add(w).wanted = true
		}
	}
	for _, w := range wants {
		if w.ID.Kind == spec.AccessKey {
			add(Want{ID: spec.ID{Kind: spec.User, Name: w.ID.Name}, Fields: []string{}}).key = &w
		}
	}
	return targets
}

func (t *target) read(ctx context.Context, a *Account, all bool) {
	reader := a.Readers[t.ID.Kind]
	if reader == nil {
		t.err = fmt.Errorf("resources of the kind %s cannot be exported", t.ID.Kind)
		return
	}
	t.found, t.err = reader(ctx, t.Want, all)
	if t.err == nil && t.found == nil {
		t.err = ErrAbsent
	}
	user, isUser := t.found.(spec.IAMUser)
	if !isUser {
		t.keyErr = t.err
		return
	}
	asked := t.key != nil || slices.Contains(t.Fields, "accessKey")
	if !asked && t.Fields != nil {
		return
	}
	if t.key == nil {
		t.key = &Want{ID: spec.ID{Kind: spec.AccessKey, Name: user.Name}}
	}
	has, err := a.HasKey(ctx, user.Name)
	switch {
	case has:
		user.AccessKey = &spec.IAMAccessKey{Deliver: []spec.Sink{{File: &spec.FileSink{Path: user.Name + ".credentials"}}}}
		t.found = user
	case err != nil:
		t.keyErr = err
	case asked:
		t.keyErr = ErrNoKey
	}
	if t.keyErr != nil && !t.wanted {
		t.found = nil
	}
}

// Of is the reader of a kind. named is a resource of which no more is known than
// its name and IAM's path.
func Of[S spec.Resource, F any](kind Kind[S, F], named func(Want) S) Reader {
	return func(ctx context.Context, want Want, all bool) (spec.Resource, error) {
		live, err := kind.Describe(ctx, named(want), true)
		if err != nil {
			return nil, err
		}
		if !live.Exists {
			return nil, nil
		}
		switch {
		case want.Fields != nil:
			return spec.Only(live.Is, want.Fields), nil
		case all:
			return live.Is, nil
		}
		return kind.Brief(live.Is), nil
	}
}
