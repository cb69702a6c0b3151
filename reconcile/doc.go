// Package reconcile brings AWS to what a spec says.
//
// A [Kind] is how one kind of resource is read, compared and written; the
// packages below hold one in a file each. AWS is read into the spec's own type,
// [Live]: what the spec leaves out is laid over what it gives, both sides are
// brought into one normal form, and where they differ there are lines. A new
// kind is a type and its checks in spec, a row in spec's table of kinds, a file
// here, and a file of the sandbox.
//
// A [Step] is lines of a difference together with the one API call that mends
// them. A [Plan] is the steps of one resource, from one look at AWS. Dry run
// prints steps, a run does them: there is no second path that could disagree
// with the first.
//
// A [Resource] is one thing that the spec declares, as a kind keeps it
// ([Declare]); an access key is the one that is none of a kind's, since what it
// is lies in the order of several calls. [Look] asks every resource for its plan,
// side by side. [Run.Apply] does the steps, each resource after those that it
// needs, and reads back what was written until AWS shows it. A stale read never
// leads to a second write. What became of each resource is a [Result], all of
// them a [Report].
//
// A session (package stack) lives as long as the process: the credentials, the
// clients, the pace that AWS asks of them. It opens a spec into the resources of
// one look, which keep nothing of a run but what they are handed.
package reconcile
