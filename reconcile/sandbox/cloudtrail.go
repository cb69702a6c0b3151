package sandbox

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// trailed is how many events the trail remembers.
const trailed = 1000

// An event is a call that changed something, as CloudTrail has it.
type event struct {
	ID        string
	Time      time.Time
	Region    string
	Service   string
	Name      string
	Principal string // ARN
	Source    string // address
	Agent     string
	ErrorCode string   `json:",omitempty"`
	Resources []string // names and ARNs
}

// record adds a mutating call to the trail. What is done to objects is no event
// that CloudTrail looks up.
func (st *state) record(r *request, requestID, errorCode string) {
	if r.key != "" {
		return
	}
	source, _, _ := net.SplitHostPort(r.http.RemoteAddr)
	st.Trail = append(st.Trail, event{
		ID: requestID, Time: r.now, Region: r.region, Service: r.service, Name: r.operation,
		Principal: r.caller.ARN, Source: source, Agent: r.http.UserAgent(), ErrorCode: errorCode, Resources: resourcesOf(r),
	})
	st.Trail = st.Trail[max(0, len(st.Trail)-trailed):]
}

// resourcesOf are the names and ARNs of what a call is about. No other value
// of a request is kept: it may be a secret.
func resourcesOf(r *request) []string {
	var names []string
	about := func(field string, value any) {
		text, _ := value.(string)
		switch strings.ToLower(field) {
		case "rolename", "username", "policyname", "policyarn", "groupname", "openidconnectproviderarn",
			"loggroupname", "loggroupidentifier", "repositoryname", "resourcearn", "cluster", "clustername", "family", "taskdefinition", "secretid":
			if text != "" {
				names = append(names, text)
			}
		}
	}
	switch {
	case r.service == "s3":
		names = append(names, r.bucket)
	case r.form != nil:
		for field, values := range r.form {
			about(field, values[0])
		}
	default:
		var in map[string]any
		_ = json.Unmarshal(r.body, &in) // what is none has named nothing
		for field, value := range in {
			about(field, value)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func cloudtrailHandlers() map[string]handler {
	return map[string]handler{"LookupEvents": lookupEvents}
}

// cloudtrailNeeds lists what CloudTrail's operations need.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudtrail.html
func cloudtrailNeeds() map[string]needs { return map[string]needs{"LookupEvents": anyResource} }

type cloudtrailResource struct{ ResourceName string }

type cloudtrailEvent struct {
	EventId         string //nolint:revive // as CloudTrail spells it
	EventName       string
	EventSource     string
	EventTime       float64
	ReadOnly        string
	Username        string
	Resources       []cloudtrailResource
	CloudTrailEvent string
}

// lookupEvents answers with the newest events first, of the last 90 days and
// of the region that is asked. IAM's are those of its home region.
func lookupEvents(st *state, r *request) (any, error) {
	var in struct {
		StartTime, EndTime *float64
		MaxResults         int
		NextToken          string
		LookupAttributes   []struct{ AttributeKey, AttributeValue string }
	}
	if err := json.Unmarshal(r.body, &in); err != nil {
		return nil, invalidLookup(err.Error())
	}
	switch {
	case len(in.LookupAttributes) > 1:
		return nil, invalidLookup("only one lookup attribute is taken")
	case len(in.LookupAttributes) == 1 && in.LookupAttributes[0].AttributeKey != "ResourceName":
		return nil, invalidLookup("the sandbox looks up by ResourceName")
	case in.MaxResults < 0 || in.MaxResults > 50:
		return nil, &apiError{http.StatusBadRequest, "InvalidMaxResultsException", "MaxResults must be between 1 and 50"}
	}
	from, to := r.now.AddDate(0, 0, -90), r.now.Add(-r.trailDelay)
	if in.StartTime != nil && seconds(*in.StartTime).After(from) {
		from = seconds(*in.StartTime)
	}
	if in.EndTime != nil && seconds(*in.EndTime).Before(to) {
		to = seconds(*in.EndTime)
	}
	found := []cloudtrailEvent{}
	skipping := in.NextToken != ""
	next := ""
	for _, e := range slices.Backward(st.Trail) {
		switch {
		case e.Region != r.region, e.Time.Before(from), e.Time.After(to):
			continue
		case len(in.LookupAttributes) == 1 && !slices.Contains(e.Resources, in.LookupAttributes[0].AttributeValue):
			continue
		case skipping:
			skipping = e.ID != in.NextToken // the last event that was answered
			continue
		}
		if size := in.MaxResults; len(found) == 50 || size > 0 && len(found) == size {
			next = found[len(found)-1].EventId
			break
		}
		found = append(found, e.answer(r))
	}
	answer := map[string]any{"Events": found}
	if next != "" {
		answer["NextToken"] = next
	}
	return answer, nil
}

func invalidLookup(message string) error {
	return &apiError{http.StatusBadRequest, "InvalidLookupAttributesException", message}
}

func seconds(epoch float64) time.Time { return time.Unix(int64(epoch), 0) }

func (e event) answer(r *request) cloudtrailEvent {
	source := e.Service + ".amazonaws.com"
	detail := map[string]any{
		"eventVersion": "1.11", "eventID": e.ID, "eventTime": e.Time.Format(time.RFC3339), "eventSource": source, "eventName": e.Name,
		"awsRegion": e.Region, "sourceIPAddress": e.Source, "userAgent": e.Agent, "readOnly": false, "recipientAccountId": r.account,
		"userIdentity": map[string]any{"arn": e.Principal, "accountId": r.account},
	}
	if e.ErrorCode != "" {
		detail["errorCode"] = e.ErrorCode
	}
	text, _ := json.Marshal(detail) // of strings alone
	a := cloudtrailEvent{
		EventId: e.ID, EventName: e.Name, EventSource: source, EventTime: float64(e.Time.Unix()), ReadOnly: "false",
		Username: e.Principal[strings.LastIndexAny(e.Principal, "/:")+1:], Resources: []cloudtrailResource{}, CloudTrailEvent: string(text),
	}
	for _, name := range e.Resources {
		a.Resources = append(a.Resources, cloudtrailResource{name})
	}
	return a
}
