package sandbox

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

func logsCreateLogStream(st *state, r *request, in struct {
	logsRef
	LogStreamName string
},
) (any, error) {
	group, err := logsFind(st, r, in.LogGroupName)
	if err != nil {
		return nil, err
	}
	if !logStreamName.MatchString(in.LogStreamName) {
		return nil, logsInvalid("Value '%s' at 'logStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", in.LogStreamName, logStreamName)
	}
	if group.Streams[in.LogStreamName] != nil {
		return nil, badRequest("ResourceAlreadyExistsException", "The specified log stream already exists")
	}
	if group.Streams == nil {
		group.Streams = map[string]*logStream{}
	}
	group.Streams[in.LogStreamName] = &logStream{CreationTime: r.now.UnixMilli()}
	return empty{}, nil
}

// logStreamDescription is a stream as DescribeLogStreams answers it.
type logStreamDescription struct {
	LogStreamName       string `json:"logStreamName"`
	CreationTime        int64  `json:"creationTime"`
	FirstEventTimestamp int64  `json:"firstEventTimestamp,omitempty"`
	LastEventTimestamp  int64  `json:"lastEventTimestamp,omitempty"`
	LastIngestionTime   int64  `json:"lastIngestionTime,omitempty"`
	ARN                 string `json:"arn"`
}

func logsDescribeLogStreams(st *state, r *request, in struct {
	logsRef
	LogGroupIdentifier  string
	LogStreamNamePrefix string
	OrderBy             string
	Descending          bool
	NextToken           string
	Limit               int
},
) (any, error) {
	group, err := logsFindEither(st, r, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if in.OrderBy == "LastEventTime" && in.LogStreamNamePrefix != "" {
		return nil, logsInvalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	streams := []logStreamDescription{}
	for _, name := range slices.Sorted(maps.Keys(group.Streams)) {
		if !strings.HasPrefix(name, in.LogStreamNamePrefix) {
			continue
		}
		stream := group.Streams[name]
		d := logStreamDescription{
			LogStreamName: name,
			CreationTime:  stream.CreationTime,
			ARN:           logGroupARN(r, group.Name) + ":log-stream:" + name,
		}
		if n := len(stream.Events); n > 0 {
			first, last := stream.Events[0], stream.Events[n-1]
			d.FirstEventTimestamp, d.LastEventTimestamp, d.LastIngestionTime = first.Timestamp, last.Timestamp, last.IngestionTime
		}
		streams = append(streams, d)
	}
	if in.OrderBy == "LastEventTime" {
		slices.SortStableFunc(streams, func(a, b logStreamDescription) int { return cmp.Compare(a.LastEventTimestamp, b.LastEventTimestamp) })
	}
	if in.Descending {
		slices.Reverse(streams)
	}
	streams, next, ok := slicePage(streams, in.NextToken, in.Limit, 50, 50)
	if !ok {
		return nil, logsInvalid("nextToken is one that CloudWatch Logs gave, limit 1 to 50.")
	}
	return struct {
		LogStreams []logStreamDescription `json:"logStreams"`
		NextToken  string                 `json:"nextToken,omitempty"`
	}{streams, next}, nil
}

// logsFindEither gives the group of the reading calls, which take a name or a
// name-or-ARN, but not both.
func logsFindEither(st *state, r *request, name, identifier string) (*logGroup, error) {
	if (name == "") == (identifier == "") {
		return nil, logsInvalid("Exactly one of logGroupName and logGroupIdentifier is needed.")
	}
	if strings.HasPrefix(identifier, "arn:") {
		return logsFindARN(st, r, identifier)
	}
	return logsFind(st, r, cmp.Or(name, identifier))
}

func logsFindStream(group *logGroup, name string) (*logStream, error) {
	stream := group.Streams[name]
	if stream == nil {
		return nil, badRequest("ResourceNotFoundException", "The specified log stream does not exist.")
	}
	return stream, nil
}

func logsPutLogEvents(st *state, r *request, in struct {
	logsRef
	LogStreamName string
	LogEvents     []logEvent
},
) (any, error) {
	group, err := logsFind(st, r, in.LogGroupName)
	if err != nil {
		return nil, err
	}
	stream, err := logsFindStream(group, in.LogStreamName)
	if err != nil {
		return nil, err
	}
	if len(in.LogEvents) == 0 || len(in.LogEvents) > 10000 {
		return nil, logsInvalid("A batch has 1 to 10000 log events.")
	}
	if !slices.IsSortedFunc(in.LogEvents, logEvent.compare) {
		return nil, logsInvalid("Log events in a single PutLogEvents request must be in chronological order.")
	}
	for _, e := range in.LogEvents {
		e.IngestionTime = r.now.UnixMilli()
		stream.Events = append(stream.Events, e)
	}
	slices.SortStableFunc(stream.Events, logEvent.compare)
	// Sequence tokens are ignored by AWS and still answered.
	return map[string]any{"nextSequenceToken": "0"}, nil
}

func (e logEvent) compare(other logEvent) int { return cmp.Compare(e.Timestamp, other.Timestamp) }

// logsGetLogEvents answers all events in one page. AWS marks the end of a
// stream by answering the token that it was given.
func logsGetLogEvents(st *state, r *request, in struct {
	logsRef
	LogGroupIdentifier string
	LogStreamName      string
	StartTime, EndTime int64
	NextToken          string
},
) (any, error) {
	group, err := logsFindEither(st, r, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	stream, err := logsFindStream(group, in.LogStreamName)
	if err != nil {
		return nil, err
	}
	events := []logEvent{}
	if in.NextToken == "" {
		for _, e := range stream.Events {
			if e.Timestamp >= in.StartTime && (in.EndTime == 0 || e.Timestamp < in.EndTime) {
				events = append(events, e)
			}
		}
	}
	return map[string]any{"events": events, "nextForwardToken": "f/end", "nextBackwardToken": "b/end"}, nil
}

// logsFilterLogEvents answers the events of all streams, by their time. Of
// filter patterns it knows words, quoted or not, all of which an event has to
// have.
func logsFilterLogEvents(st *state, r *request, in struct {
	logsRef
	LogGroupIdentifier  string
	LogStreamNames      []string
	LogStreamNamePrefix string
	StartTime, EndTime  int64
	FilterPattern       string
	NextToken           string
	Limit               int
},
) (any, error) {
	group, err := logsFindEither(st, r, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if len(in.LogStreamNames) > 0 && in.LogStreamNamePrefix != "" {
		return nil, logsInvalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")
	}
	words := filterWords.compiled().FindAllString(in.FilterPattern, -1)
	if strings.ContainsAny(in.FilterPattern, "{}[]?%") || strings.HasPrefix(in.FilterPattern, "-") || strings.Contains(in.FilterPattern, " -") {
		return nil, logsInvalid("The sandbox filters by words that an event has to have, not by %s", in.FilterPattern)
	}
	type event struct {
		EventID       string `json:"eventId"`
		LogStreamName string `json:"logStreamName"`
		logEvent
	}
	events := []event{}
	for _, name := range slices.Sorted(maps.Keys(group.Streams)) {
		if len(in.LogStreamNames) > 0 && !slices.Contains(in.LogStreamNames, name) || !strings.HasPrefix(name, in.LogStreamNamePrefix) {
			continue
		}
		for i, e := range group.Streams[name].Events {
			inTime := e.Timestamp >= in.StartTime && (in.EndTime == 0 || e.Timestamp <= in.EndTime)
			if inTime && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(e.Message, strings.Trim(w, `"`)) }) {
				events = append(events, event{name + "/" + strconv.Itoa(i), name, e})
			}
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.compare(b.logEvent) })
	events, next, ok := slicePage(events, in.NextToken, in.Limit, 10000, 10000)
	if !ok {
		return nil, logsInvalid("nextToken is one that CloudWatch Logs gave, limit 1 to 10000.")
	}
	return struct {
		Events             []event    `json:"events"`
		SearchedLogStreams []struct{} `json:"searchedLogStreams"` // deprecated, and empty
		NextToken          string     `json:"nextToken,omitempty"`
	}{events, []struct{}{}, next}, nil
}

var filterWords = &pattern{expr: `"[^"]*"|\S+`}
