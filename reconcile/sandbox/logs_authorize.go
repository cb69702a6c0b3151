package sandbox

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// logsNeeds lists what CloudWatch Logs' operations need.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
func logsNeeds() map[string]needs {
	t := map[string]needs{"DescribeLogGroups": anyResource}
	theseNeed(t, logGroupNeeds,
		"CreateLogGroup", "DeleteLogGroup", "PutRetentionPolicy", "DeleteRetentionPolicy", "PutLogGroupDeletionProtection",
		"AssociateKmsKey", "DisassociateKmsKey", "DescribeLogStreams",
		"TagLogGroup", "UntagLogGroup", "ListTagsLogGroup", "TagResource", "UntagResource", "ListTagsForResource",
		"CreateLogStream", "PutLogEvents", "GetLogEvents", "FilterLogEvents")
	return t
}

// logGroupNeeds is about a group or a stream in it. A group's ARN ends in ":*"
// for every action but the three of its tags.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogGroup.html
func logGroupNeeds(st *state, r *request) []need {
	var in struct {
		LogGroupName       string
		LogGroupIdentifier string
		ResourceIdentifier string
		LogStreamName      string
		ResourceARN        string
		Tags               json.RawMessage // of UntagLogGroup: keys
		TagKeys            []string
	}
	_ = json.Unmarshal(r.body, &in) // what is malformed is for the operation to refuse
	name := cmp.Or(in.LogGroupName, in.LogGroupIdentifier, in.ResourceIdentifier, in.ResourceARN)
	name = strings.TrimPrefix(name, logGroupARN(r, ""))
	var tags map[string]string
	keys := in.TagKeys
	if json.Unmarshal(in.Tags, &tags) != nil {
		_ = json.Unmarshal(in.Tags, &keys)
	}
	keys = append(slices.Sorted(maps.Keys(tags)), keys...)

	arn := logGroupARN(r, name)
	group := st.Logs.Groups[r.region][name]
	n := needed(r.action(), arn+":log-stream:"+in.LogStreamName)
	if in.ResourceARN != "" {
		n.resource = arn
	}
	if group != nil {
		n = n.tagged(tagList(group.Tags))
	}
	n = n.tagging(tagList(tags)).with("aws:TagKeys", keys...)
	if r.operation != "CreateLogGroup" || len(tags) == 0 {
		return []need{n}
	}
	also := n
	also.action, also.resource = "logs:TagResource", arn
	return []need{n, also}
}
