package sandbox

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// An ecsFamily is the revisions of a task definition, number 1 first. None is
// ever taken out, so that numbers never start again, as in AWS.
type ecsFamily []*ecsTaskDefinition

// An ecsTaskDefinition is one revision.
type ecsTaskDefinition struct {
	// Content is what was registered with AWS's defaults filled in. It is kept
	// as JSON, so that fields that the sandbox knows nothing of are answered
	// as they were given.
	Content           map[string]any
	Status            string // ACTIVE, INACTIVE, DELETE_IN_PROGRESS
	Tags              map[string]string
	RegisteredAt      int64
	RegisteredBy      string
	DeregisteredAt    int64
	DeleteRequestedAt int64
}

func (d *ecsTaskDefinition) describe(r *request, family string, revision int) map[string]any {
	answer := maps.Clone(d.Content)
	answer["taskDefinitionArn"] = ecsRevisionARN(r, family, revision)
	answer["family"] = family
	answer["revision"] = revision
	answer["status"] = d.Status
	answer["registeredAt"] = d.RegisteredAt
	answer["registeredBy"] = d.RegisteredBy
	if d.DeregisteredAt != 0 {
		answer["deregisteredAt"] = d.DeregisteredAt
	}
	if d.DeleteRequestedAt != 0 {
		answer["deleteRequestedAt"] = d.DeleteRequestedAt
	}
	return answer
}

func ecsRevisionARN(r *request, family string, revision int) string {
	return regionalARN(r, "ecs", "task-definition/"+family+":"+strconv.Itoa(revision))
}

// ecsParseRevision takes apart FAMILY, FAMILY:REVISION or the ARN of either.
// The revision is 0 where none is named, and the family "" where the reference
// is none of these.
func ecsParseRevision(r *request, ref string) (family string, revision int) {
	ref = strings.TrimPrefix(ref, regionalARN(r, "ecs", "task-definition/"))
	family, number, numbered := strings.Cut(ref, ":")
	if !numbered {
		return family, 0
	}
	revision, err := strconv.Atoi(number)
	if err != nil || revision < 1 {
		return "", 0
	}
	return family, revision
}

// ecsFindRevision gives the revision that is named, whatever its status; nil
// where there is none or where only a family is named.
func ecsFindRevision(st *state, r *request, ref string) (revision int, d *ecsTaskDefinition) {
	family, revision := ecsParseRevision(r, ref)
	if f := st.ECS.Families[r.region][family]; revision >= 1 && revision <= len(f) {
		d = f[revision-1]
	}
	return revision, d
}

// active gives the newest ACTIVE revision; nil where there is none.
func (f ecsFamily) active() (revision int, d *ecsTaskDefinition) {
	for i, d := range slices.Backward(f) {
		if d.Status == "ACTIVE" {
			return i + 1, d
		}
	}
	return 0, nil
}

// ecsRegisterTaskDefinition reads its input twice: as what is checked, and as
// what is kept.
func ecsRegisterTaskDefinition(st *state, r *request, in ecsRegistration) (any, error) {
	tags, err := ecsAddTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	var content map[string]any
	if err := json.Unmarshal(r.body, &content); err != nil {
		return nil, err
	}
	in.fill(content, r)
	d := &ecsTaskDefinition{
		Content:      content,
		Status:       "ACTIVE",
		Tags:         tags,
		RegisteredAt: r.now.Unix(),
		RegisteredBy: r.caller.ARN,
	}
	f := append(st.ECS.Families[r.region][in.Family], d)
	st.ECS.Families.put(r.region, in.Family, f)
	return map[string]any{"taskDefinition": d.describe(r, in.Family, len(f)), "tags": ecsTagList(tags)}, nil
}

func ecsDescribeTaskDefinition(st *state, r *request, in struct {
	TaskDefinition string
	Include        []string
},
) (any, error) {
	family, revision := ecsParseRevision(r, in.TaskDefinition)
	var d *ecsTaskDefinition
	if revision == 0 {
		revision, d = st.ECS.Families[r.region][family].active()
	} else {
		_, d = ecsFindRevision(st, r, in.TaskDefinition)
	}
	if d == nil {
		return nil, ecsRefused("Unable to describe task definition.")
	}
	answer := map[string]any{"taskDefinition": d.describe(r, family, revision)}
	if slices.Contains(in.Include, "TAGS") {
		answer["tags"] = ecsTagList(d.Tags)
	}
	return answer, nil
}

func ecsListTaskDefinitions(st *state, r *request, in struct {
	FamilyPrefix string
	Status       string
	Sort         string
	NextToken    string
	MaxResults   int
},
) (any, error) {
	status := cmp.Or(in.Status, "ACTIVE")
	if !slices.Contains([]string{"ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS"}, status) {
		return nil, ecsInvalid("Status '%s' is not ACTIVE, INACTIVE or DELETE_IN_PROGRESS", status)
	}
	var arns []string
	for _, family := range slices.Sorted(maps.Keys(st.ECS.Families[r.region])) {
		// Despite its name the prefix is "the full family name".
		if in.FamilyPrefix != "" && in.FamilyPrefix != family {
			continue
		}
		for i, d := range st.ECS.Families[r.region][family] {
			if d.Status == status {
				arns = append(arns, ecsRevisionARN(r, family, i+1))
			}
		}
	}
	if in.Sort == "DESC" {
		slices.Reverse(arns)
	}
	return ecsPage("taskDefinitionArns", arns, in.NextToken, in.MaxResults)
}

func ecsListTaskDefinitionFamilies(st *state, r *request, in struct {
	FamilyPrefix string
	Status       string
	NextToken    string
	MaxResults   int
},
) (any, error) {
	var families []string
	for _, family := range slices.Sorted(maps.Keys(st.ECS.Families[r.region])) {
		if !strings.HasPrefix(family, in.FamilyPrefix) {
			continue
		}
		_, active := st.ECS.Families[r.region][family].active()
		if in.Status == "ACTIVE" && active == nil || in.Status == "INACTIVE" && active != nil {
			continue
		}
		families = append(families, family)
	}
	return ecsPage("families", families, in.NextToken, in.MaxResults)
}

func ecsDeregisterTaskDefinition(st *state, r *request, in struct{ TaskDefinition string }) (any, error) {
	family, _ := ecsParseRevision(r, in.TaskDefinition)
	revision, d := ecsFindRevision(st, r, in.TaskDefinition)
	if d == nil {
		return nil, ecsRefused("The specified task definition does not exist. Specify a valid account, family, revision and try again.")
	}
	if d.Status == "ACTIVE" {
		d.Status = "INACTIVE"
		d.DeregisteredAt = r.now.Unix()
	}
	return map[string]any{"taskDefinition": d.describe(r, family, revision)}, nil
}

// ecsDeleteTaskDefinitions leaves the revisions in DELETE_IN_PROGRESS, in which
// AWS keeps them until nothing refers to them any more.
func ecsDeleteTaskDefinitions(st *state, r *request, in struct{ TaskDefinitions []string }) (any, error) {
	if n := len(in.TaskDefinitions); n < 1 || n > 10 {
		return nil, ecsInvalid("1 to 10 task definitions can be deleted at a time, not %d", n)
	}
	definitions, failures := []map[string]any{}, []ecsFailure{}
	for _, ref := range in.TaskDefinitions {
		family, _ := ecsParseRevision(r, ref)
		revision, d := ecsFindRevision(st, r, ref)
		switch {
		case d == nil:
			failures = append(failures, ecsFailure{ref, "The specified task definition does not exist. Specify a valid account, family, revision and try again."})
			continue
		case d.Status == "ACTIVE":
			failures = append(failures, ecsFailure{
				ecsRevisionARN(r, family, revision),
				"The specified task definition is still in ACTIVE status. Please deregister the target and try again.",
			})
			continue
		case d.Status == "INACTIVE":
			d.Status = "DELETE_IN_PROGRESS"
			d.DeleteRequestedAt = r.now.Unix()
		}
		definitions = append(definitions, d.describe(r, family, revision))
	}
	return map[string]any{"taskDefinitions": definitions, "failures": failures}, nil
}
