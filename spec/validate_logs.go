package spec

import (
	"regexp"
	"strings"
)

const maxLogGroupName = 512

var logGroupName = regexp.MustCompile(`^[A-Za-z0-9_./#-]+$`)

func (b *binder) checkLogGroup(n *node, group *LogsLogGroup) {
	name, at := group.Name, n.get("name")
	switch {
	case name == "":
		b.emptyName(at, "name")
	case len(name) > maxLogGroupName:
		b.errorf(at, "log group name: %d characters; CloudWatch allows %d", len(name), maxLogGroupName)
	case !logGroupName.MatchString(name):
		b.errorf(at, "log group name: %q: allowed are letters, digits and _ - / . #", clip(name))
	case strings.HasPrefix(name, "aws/"):
		b.errorf(at, "log group name: %q: the beginning aws/ is reserved by AWS", clip(name))
	}
	if group.KMSKeyID != nil && *group.KMSKeyID != "" {
		b.checkKMSKey(n.get("kmsKeyId"), "kmsKeyId", group.KMSKeyID)
	}
}
