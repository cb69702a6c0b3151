"""Compares pairs of identity policies with z3: one JSON list of two documents
a line in, and out whether the second allows what the first does not, and the
other way round. It knows statements without variables and conditions on
strings, Booleans and presence."""

import json
import sys

from z3 import AllChar, And, Bool, Complement, Concat, Full, If, InRe, Intersect, Not, Or, Plus, Re, ReSort, Solver, Star, String, StringSort, StringVal, sat, unknown

S = ReSort(StringSort())
ANY, COLON = AllChar(S), Re(":")
FIELD = Intersect(ANY, Complement(COLON))


def concat(parts):
    return parts[0] if len(parts) == 1 else Concat(*parts) if parts else Re("")


def glob(text, one=ANY):
    return concat([Star(one) if c == "*" else one if c == "?" else Re(StringVal(c)) for c in text])


def arn(text):
    if text.strip("*") == "" and text:
        return Full(S)
    fields = text.split(":", 5)
    parts = []
    for i, field in enumerate(fields):
        if i:
            parts.append(COLON)
        parts.append(glob(field, ANY if i == 5 else FIELD))
    return concat(parts)


def listed(value):
    return value if isinstance(value, list) else [value]


action, resource = String("action"), String("resource")
keys = {}


def key(name):
    return keys.setdefault(name.lower(), (Bool("has " + name.lower()), String(name.lower())))


def among(text, patterns):
    return Or(*[InRe(text, p) for p in patterns])


def condition(operator, name, values):
    base, exists = (operator[: -len("IfExists")], True) if operator.endswith("IfExists") else (operator, False)
    has, value = key(name)
    values = [str(v) for v in listed(values)]
    if base == "Null":
        return Or(*[has if v == "false" else Not(has) for v in values])
    like = base in ("StringLike", "StringNotLike")
    if base == "Bool":
        # A request's Boolean is written in small letters here.
        return If(has, Or(*[value == StringVal(v.lower()) for v in values]), exists)
    equal = among(value, [glob(v) if like else Re(StringVal(v)) for v in values])
    if "Not" in base:
        return If(has, Not(equal), True)
    return If(has, equal, exists)


def applies(s):
    parts = []
    if "Action" in s:
        parts.append(among(action, [glob(a.lower()) for a in listed(s["Action"])]))
    else:
        parts.append(Not(among(action, [glob(a.lower()) for a in listed(s["NotAction"])])))
    if "Resource" in s:
        parts.append(among(resource, [arn(r) for r in listed(s["Resource"])]))
    else:
        parts.append(Not(among(resource, [arn(r) for r in listed(s["NotResource"])])))
    for operator, block in s.get("Condition", {}).items():
        for name, values in block.items():
            parts.append(condition(operator, name, values))
    return And(*parts)


def allows(policy):
    statements = listed(policy["Statement"])
    allow = Or(*[applies(s) for s in statements if s["Effect"] == "Allow"])
    deny = Or(*[applies(s) for s in statements if s["Effect"] == "Deny"])
    return And(allow, Not(deny))


ACTION = Concat(Plus(FIELD), COLON, Plus(FIELD))
ARN = Concat(Re("arn:"), Plus(FIELD), COLON, Plus(FIELD), COLON, Star(FIELD), COLON, Star(FIELD), COLON, Plus(ANY))

for line in sys.stdin:
    keys.clear()
    before, after = (allows(p) for p in json.loads(line))
    answer = []
    for a, b in ((before, after), (after, before)):
        s = Solver()
        s.set("timeout", 5_000)
        s.add(InRe(action, ACTION), Or(resource == StringVal("*"), InRe(resource, ARN)))
        for name, (has, value) in keys.items():
            if name == "aws:securetransport":
                s.add(Or(value == StringVal("true"), value == StringVal("false")))
        s.add(b, Not(a))
        verdict = s.check()
        answer.append(None if verdict == unknown else verdict == sat)
    print(json.dumps(answer), flush=True)
