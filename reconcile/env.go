package reconcile

import (
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
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
	AWSNow     func() time.Time // by AWS's clock
	Run        string           // this run's own id, which no other has
}

// Tags are a resource's tags under the stack's rules; want is nil where the
// spec gives none.
func (e Env) Tags(want map[string]string) Tags {
	return Tags{Want: want, Ignore: e.IgnoreTags, Stack: e.Stack}
}

// ARN is where a resource is; path is IAM's, and "" elsewhere.
func (e Env) ARN(id spec.ID, path string) *string {
	arn := id.Kind.ARN(id.Name, path, spec.Identity{Account: e.Account, Partition: e.Partition, Region: e.Region})
	return &arn
}
