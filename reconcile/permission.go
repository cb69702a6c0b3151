package reconcile

import "slices"

// A Purpose is what part of the work a permission is for.
type Purpose uint8

// The purposes.
const (
	Reading  Purpose = iota // to look, and to read back what was written
	Writing                 // to create and to change
	Deleting                // to delete
)

// A Permission is what IAM has to allow for a call to be carried out.
type Permission struct {
	For    Purpose
	Call   string   // the operation: "s3:PutBucketEncryption"
	Action string   // what IAM calls it, "s3:PutEncryptionConfiguration", or what the call takes beside: "iam:PassRole"
	On     []string // ARNs, or patterns of them; "*" where IAM knows no resource
	If     Condition
}

// A Condition narrows a permission. The zero value is none.
type Condition struct {
	Operator string // "StringEquals"
	Key      string // "iam:PassedToService"
	Values   []string
}

// Permissions gathers what the calls of one resource need.
type Permissions struct {
	On   []string // for what is added next
	List []Permission
}

// Read adds operations that look, of which IAM has the same names.
func (p *Permissions) Read(calls ...string) { p.add(Reading, calls) }

// Write adds operations that create and change, of which IAM has the same
// names.
func (p *Permissions) Write(calls ...string) { p.add(Writing, calls) }

// Delete adds operations that delete, and that look what keeps a resource from
// that, of which IAM has the same names.
func (p *Permissions) Delete(calls ...string) { p.add(Deleting, calls) }

func (p *Permissions) add(purpose Purpose, calls []string) {
	for _, call := range calls {
		p.Also(purpose, call, call)
	}
}

// Also adds an operation with the action that IAM asks for, where the two have
// different names or it asks for more than one. The permission can be narrowed
// by what is done to the answer.
func (p *Permissions) Also(purpose Purpose, call, action string) *Permission {
	p.List = append(p.List, Permission{For: purpose, Call: call, Action: action, On: slices.Clone(p.On)})
	return &p.List[len(p.List)-1]
}
