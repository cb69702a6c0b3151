package reconcile

import (
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
)

// Env is what all resources of a stack have in common.
type Env struct {
	Account    string
	Region     string
	Partition  string
	Stack      string // PROJECT/ENVIRONMENT, the value of the ownership mark
	IgnoreTags []string
	Pause      awsx.Pause
	Now        func() time.Time
}

// Tags are a resource's tags under the stack's rules; want is nil where the
// spec gives none.
func (e Env) Tags(want map[string]string) Tags {
	return Tags{Want: want, Ignore: e.IgnoreTags, Stack: e.Stack}
}
