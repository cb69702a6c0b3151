package spec

import "slices"

// IDs lists every address that the spec declares, in report order.
func (s *Spec) IDs() []ID {
	needs := s.Needs()
	ids := make([]ID, 0, len(needs))
	for id := range needs {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, Compare)
	return ids
}

// Needs tells of every address that the spec declares what it needs.
func (s *Spec) Needs() map[ID][]ID {
	needs := map[ID][]ID{}
	for _, r := range s.S3.Buckets {
		needs[ID{Bucket, r.Name}] = r.Needs
	}
	for _, r := range s.Logs.LogGroups {
		needs[ID{LogGroup, r.Name}] = r.Needs
	}
	for _, r := range s.ECR.Repositories {
		needs[ID{Repository, r.Name}] = r.Needs
	}
	for _, r := range s.IAM.OIDCProviders {
		needs[ID{OIDCProvider, r.URL}] = r.Needs
	}
	for _, r := range s.IAM.Policies {
		needs[ID{Policy, r.Name}] = r.Needs
	}
	for _, r := range s.IAM.Roles {
		needs[ID{Role, r.Name}] = r.Needs
	}
	for _, r := range s.IAM.Users {
		needs[ID{User, r.Name}] = r.Needs
		if r.AccessKey != nil {
			needs[ID{AccessKey, r.Name}] = []ID{{User, r.Name}}
		}
	}
	for _, r := range s.ECS.Clusters {
		needs[ID{Cluster, r.Name}] = r.Needs
	}
	for _, r := range s.ECS.TaskDefinitions {
		needs[ID{TaskDefinition, r.Family}] = r.Needs
	}
	return needs
}
