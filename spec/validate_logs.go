package spec

import (
	"regexp"
	"strings"
)

const maxLogGroupName = 512

// DeliveryRetention is the days for which a group of the class DELIVERY keeps
// its events. AWS takes no other number for it, and this one for no other.
const DeliveryRetention = 2

var logGroupName = regexp.MustCompile(`^[A-Za-z0-9_./#-]+$`)

func (c checker) checkLogGroup(n *node, group *LogsLogGroup) {
	name, at := group.Name, n.get("name")
	switch {
	case name == "":
		c.emptyName(at, "name")
	case len(name) > maxLogGroupName:
		c.errorf(at, "log group name: %d characters; CloudWatch allows %d", len(name), maxLogGroupName)
	case !logGroupName.MatchString(name):
		c.errorf(at, "log group name: %q: allowed are letters, digits and _ - / . #", clip(name))
	case strings.HasPrefix(name, "aws/"):
		c.errorf(at, "log group name: %q: the beginning aws/ is reserved by AWS", clip(name))
	}
	if at := n.get("retentionInDays"); group.RetentionInDays != nil && at.kind == scalar && !at.bad {
		delivery, fixed := group.LogGroupClass == "DELIVERY", *group.RetentionInDays == DeliveryRetention
		switch {
		case delivery && !fixed:
			c.errorf(at, "retentionInDays: a log group of the class DELIVERY keeps its events for %d days, which AWS does not change; leave it out", DeliveryRetention)
		case fixed && !delivery:
			c.errorf(at, "retentionInDays: %d is for log groups of the class DELIVERY only; the nearest for others are 1 and 3", DeliveryRetention)
		}
	}
	if group.KMSKeyID != nil && *group.KMSKeyID != "" {
		c.checkKMSKey(n.get("kmsKeyId"), "kmsKeyId", group.KMSKeyID)
	}
}
