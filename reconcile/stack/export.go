package stack

import (
	"context"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecr"
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecs"
	"github.com/churn-reconcile/churn-reconcile/reconcile/export"
	"github.com/churn-reconcile/churn-reconcile/reconcile/iam"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Account is the session's account, to export from. region is where to look
// where neither the session nor the SDK's chain says so.
func (s *Session) Account(ctx context.Context, region string) (*export.Account, error) {
	own := s.account(spec.AssumeRole{})
	at, err := own.at(ctx, region)
	if err != nil {
		return nil, err
	}
	who, err := own.caller(ctx, at)
	if err != nil {
		return nil, err
	}
	env := reconcile.Env{
		Account: who.AccountID, Region: at.cfg.Region, Partition: who.Partition,
		Pause: s.o.Pause, Now: s.o.Now, AWSNow: s.clock.Now,
	}
	kinds := iam.NewKinds(at.iam, env)
	return &export.Account{
		Identity: spec.Identity{Account: env.Account, Partition: env.Partition, Region: env.Region},
		Readers: map[spec.Kind]export.Reader{
			spec.Bucket: export.Of(at.buckets(env),
				func(w export.Want) spec.S3Bucket { return spec.S3Bucket{Name: w.ID.Name} }),
			spec.LogGroup: export.Of(at.logGroups(env),
				func(w export.Want) spec.LogsLogGroup { return spec.LogsLogGroup{Name: w.ID.Name} }),
			spec.Repository: export.Of(ecr.NewRepositories(at.ecr, env, nil),
				func(w export.Want) spec.ECRRepository { return spec.ECRRepository{Name: w.ID.Name} }),
			spec.OIDCProvider: export.Of(kinds.OIDCProviders,
				func(w export.Want) spec.IAMOIDCProvider { return spec.IAMOIDCProvider{URL: w.ID.Name} }),
			spec.Policy: export.Of(kinds.Policies,
				func(w export.Want) spec.IAMPolicy { return spec.IAMPolicy{Name: w.ID.Name, Path: w.Path} }),
			spec.Role: export.Of(kinds.Roles,
				func(w export.Want) spec.IAMRole { return spec.IAMRole{Name: w.ID.Name} }),
			spec.Group: export.Of(kinds.Groups,
				func(w export.Want) spec.IAMGroup { return spec.IAMGroup{Name: w.ID.Name} }),
			spec.User: export.Of(kinds.Users,
				func(w export.Want) spec.IAMUser { return spec.IAMUser{Name: w.ID.Name} }),
			spec.Cluster: export.Of(ecs.NewClusters(at.ecs, env, nil),
				func(w export.Want) spec.ECSCluster { return spec.ECSCluster{Name: w.ID.Name} }),
			spec.TaskDefinition: export.Of(at.taskDefinitions(env),
				func(w export.Want) spec.ECSTaskDefinition { return spec.ECSTaskDefinition{Family: w.ID.Name} }),
		},
		HasKey: kinds.HasKey,
		Tagged: func(ctx context.Context, key, value string) ([]export.Want, error) {
			whose := env
			if key == reconcile.Mark {
				whose.Stack = value
			}
			inv := &inventory{at, whose, iam.NewCensus(at.iam), tag{key, value}}
			found, err := inv.tagged(ctx, func(spec.ID) bool { return false })
			var wants []export.Want
			for _, e := range found {
				wants = append(wants, export.Want{ID: e.ID, Path: e.Path})
			}
			return wants, err
		},
	}, nil
}
