package sandbox

import "cmp"

// An ecsRun is what a call to RunTask asks for.
type ecsRun struct {
	Cluster        string
	TaskDefinition string
	Count          int
	Overrides      struct{ ExecutionRoleARN, TaskRoleARN string }
	Tags           []tag
}

// roles are the roles that the tasks run with, the call's own or the task
// definition's; "" is none.
func (in *ecsRun) roles(st *state, r *request) (execution, task string) {
	if d := st.ECS.revision(r, in.TaskDefinition); d != nil {
		execution, _ = d.Content["executionRoleArn"].(string)
		task, _ = d.Content["taskRoleArn"].(string)
	}
	return cmp.Or(in.Overrides.ExecutionRoleARN, execution), cmp.Or(in.Overrides.TaskRoleARN, task)
}

// revision gives the revision that is named, the newest active one where only
// a family is; nil where there is none.
func (st *ecsState) revision(r *request, ref string) *ecsTaskDefinition {
	family, revision := ecsParseRevision(r, ref)
	f := st.Families[r.region][family]
	if revision == 0 {
		_, d := f.active()
		return d
	}
	if revision > len(f) {
		return nil
	}
	return f[revision-1]
}
