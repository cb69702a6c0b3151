package reconcile

import "context"

type progressKey struct{}

// Progress tells whoever watches the run how far the step that ctx is of has
// come. Only steps of many calls have anything to tell.
func Progress(ctx context.Context, said string) {
	if tell, ok := ctx.Value(progressKey{}).(func(string)); ok {
		tell(said)
	}
}

func withProgress(ctx context.Context, tell func(string)) context.Context {
	return context.WithValue(ctx, progressKey{}, tell)
}
