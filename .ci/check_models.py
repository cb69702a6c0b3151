#!/usr/bin/env python3
"""Hold recorded requests and answers against the API models that botocore ships.

    check_models.py FOLDER

FOLDER has what the Go tests recorded with CHURN_TEST_RECORD=FOLDER: a line of
JSON per request and answer. Each is read off the wire by the operation's own
model: members that are unknown or missing, types, enums, lengths, ranges,
patterns, error codes and statuses. Before that the script breaks pairs of its
own and finds each fault, as a check that cannot fail is none.
"""

import base64
import collections
import email.utils
import glob
import json
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ET
from datetime import datetime

import botocore.session

TARGETS = {
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
    "AmazonEC2ContainerServiceV20141113": "ecs",
    "Logs_20140328": "logs",
    "secretsmanager": "secretsmanager",
    "ResourceGroupsTaggingAPI_20170126": "resourcegroupstaggingapi",
    "CloudTrail_20131101": "cloudtrail",
}

# Errors that any operation may answer, which the models do not list.
# https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
COMMON = {
    "AccessDenied", "AccessDeniedException", "InternalFailure", "InternalServiceError", "InvalidAction",
    "InvalidClientTokenId", "NotImplemented", "SerializationException", "ServiceFailure", "Throttling",
    "ThrottlingException", "UnknownOperationException", "UnrecognizedClientException", "ValidationError",
    "ServiceUnavailableException", "ThrottledException", "ValidationException", "ExpiredToken", "MissingAuthenticationToken",
    "InternalServiceException",
}

# What AWS does otherwise than its model says: operation and finding, with the
# documentation that decides. Nothing else is let pass.
BEYOND = [
    # "This data type can only have a value of Policy", says the member itself,
    # and so AWS answers.
    # https://docs.aws.amazon.com/IAM/latest/APIReference/API_AttachedPermissionsBoundary.html
    (r"iam:\w+", r"output.*\.PermissionsBoundaryType: 'Policy' is none of PermissionsBoundaryPolicy"),
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketTagging.html, the sample; PutBucketPolicy's too
    (r"s3:PutBucket(Tagging|Policy)", "status: 204, 200 wanted"),
    # A group without tags has none: the answer's map has no minimum there.
    # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_ListTagsForResource.html
    (r"logs:ListTags\w+", r"output\.tags: 0 entries, at least 1 wanted"),
    # "NoSuchEntity: Scope ARN: ... does not exist or is not attachable" is what
    # AWS says to a boundary that is not there; for CreateUser the model has it.
    (r"iam:CreateRole", r"error: NoSuchEntity is none of .*"),
    # A bucket's ARN has no region, and is what the call takes.
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_TagResource.html
    (r"s3control:(Tag|Untag|ListTagsFor)Resource", r"input\.resourceArn: 'arn:aws:s3:::.*' does not match .*"),
    # Of a repository without images, or where none could be deleted, the list is
    # empty. https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html
    (r"ecr:(ListImages|BatchDeleteImage)", r"output\.imageIds: 0 elements, at least 1 wanted"),
    # The root user has no name, and the account's number for an id.
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
    (r"iam:GetUser", r"output\.User\.(UserName: (a string of 0, at least 1 wanted|'' does not match .*)|UserId: a string of 12, at least 16 wanted)"),
    # The model lists no error at all, and a key may be gone.
    (r"iam:GetAccessKeyLastUsed", r"error: NoSuchEntity is none of "),
]

SESSION = botocore.session.get_session()
SERVICES = ("s3", "s3control", "iam", "sts", *TARGETS.values())
MODELS = {name: SESSION.get_service_model(name) for name in SERVICES}
# Whose fault an error is, botocore's own classes leave out.
FAULTS = {name: SESSION.get_component("data_loader").load_service_model(name, "service-2")["shapes"] for name in SERVICES}


class Findings:
    """What is wrong, each once, with a test that shows it."""

    def __init__(self):
        self.found = collections.OrderedDict()
        self.where = ("", "")

    def __call__(self, path, message):
        operation, test = self.where
        text = f"{path}: {message}"
        if not any(re.fullmatch(o, operation) and re.fullmatch(m, text) for o, m in BEYOND):
            self.found.setdefault((operation, text), test)


def show(shape, value):
    return "a value" if shape.metadata.get("sensitive") else repr(value)[:80]


def pattern(text):
    # Python has no \p{...} in its own expressions. \w takes _ for a letter as
    # well, which is in each of the sets that these stand in.
    for java, python in ((r"\p{L}", r"\w"), (r"\p{M}", r"\w"), (r"\p{Z}", r"\s"), (r"\p{S}", r"+$<=>^`|~"), (r"\p{N}", r"\d"), (r"\p{P}", r"!-/:-@\[-`{-~"), (r"\p{ASCII}", r"\x00-\x7f"), (r"\p{Alnum}", "a-zA-Z0-9"), (r"\p{Print}", r"\x20-\x7e"), (r"\p{Graph}", r"\x21-\x7e")):
        text = text.replace(java, python)
    text = re.sub(r"\\u\{([0-9A-Fa-f]+)\}", lambda m: chr(int(m[1], 16)), text)
    text = re.sub(r"\\x\{([0-9A-Fa-f]+)\}", lambda m: chr(int(m[1], 16)), text)
    return re.compile(text, re.S)


PATTERNS = {}


def check(shape, value, path, report):
    """Check a value, read off the wire, against its shape."""
    meta, kind = shape.metadata, shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return
        if not isinstance(value, dict):
            return report(path, f"{show(shape, value)} is no structure")
        names = {m.serialization.get("name", n): (n, m) for n, m in shape.members.items()}
        for key, part in value.items():
            if key not in names:
                report(path, f"{shape.name} has no member {key}")
            elif part is not None:
                check(names[key][1], part, f"{path}.{key}", report)
        for key, (name, _) in names.items():
            if name in shape.required_members and value.get(key) is None:
                report(path, f"{shape.name} needs {key}")
        return
    if kind == "list":
        if not isinstance(value, list):
            return report(path, f"{show(shape, value)} is no list")
        length(meta, len(value), path, f"{len(value)} elements", report)
        for part in value:
            check(shape.member, part, path + "[]", report)
        return
    if kind == "map":
        if not isinstance(value, dict):
            return report(path, f"{show(shape, value)} is no map")
        length(meta, len(value), path, f"{len(value)} entries", report)
        for key, part in value.items():
            check(shape.key, key, path + "{key}", report)
            check(shape.value, part, path + "{}", report)
        return
    if kind in ("string", "character"):
        if not isinstance(value, str):
            return report(path, f"{show(shape, value)} is no string")
        length(meta, len(value), path, f"a string of {len(value)}", report)
        if shape.enum and value not in shape.enum:
            report(path, f"{show(shape, value)} is none of {', '.join(shape.enum)}")
        if meta.get("pattern"):
            expr = PATTERNS.setdefault(meta["pattern"], pattern(meta["pattern"]))
            if not expr.fullmatch(value):
                report(path, f"{show(shape, value)} does not match {meta['pattern']}")
    elif kind in ("integer", "long"):
        if isinstance(value, bool) or not isinstance(value, int):
            return report(path, f"{show(shape, value)} is no integer")
        length(meta, value, path, str(value), report)
    elif kind in ("float", "double"):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            report(path, f"{show(shape, value)} is no number")
    elif kind == "boolean":
        if not isinstance(value, bool):
            report(path, f"{show(shape, value)} is no boolean")
    elif kind == "timestamp":
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            report(path, f"{show(shape, value)} is no timestamp")
    elif kind == "blob":
        try:
            size = len(value if isinstance(value, bytes) else base64.b64decode(value, validate=True))
        except (ValueError, TypeError):
            return report(path, f"{show(shape, value)} is no base64")
        length(meta, size, path, f"{size} bytes", report)


def length(meta, n, path, what, report):
    if meta.get("min") is not None and n < meta["min"]:
        report(path, f"{what}, at least {meta['min']} wanted")
    if meta.get("max") is not None and n > meta["max"]:
        report(path, f"{what}, at most {meta['max']} wanted")


def scalar(shape, text, path, report, form="iso8601"):
    """A value of the type that the shape says, or the text where it is none."""
    kind = shape.type_name
    try:
        if kind in ("integer", "long"):
            return int(text)
        if kind in ("float", "double"):
            return float(text)
        if kind == "timestamp":
            form = shape.serialization.get("timestampFormat", form)
            if form == "iso8601":
                if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text):
                    raise ValueError
                return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
            if form == "rfc822":
                if not text.endswith("GMT"):
                    raise ValueError
                return email.utils.parsedate_to_datetime(text).timestamp()
            return float(text)
    except (ValueError, TypeError):
        return text
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    return text


def local(tag):
    return tag.rpartition("}")[2]


def xml_value(shape, node, path, report):
    kind = shape.type_name
    if kind == "structure":
        value, rest = {}, collections.OrderedDict()
        for child in node:
            rest.setdefault(local(child.tag), []).append(child)
        for name, member in shape.members.items():
            key = member.serialization.get("name", name)
            if member.serialization.get("location"):
                continue  # a header
            if member.serialization.get("xmlAttribute"):
                for attribute, text in node.attrib.items():
                    if local(attribute) == key.rpartition(":")[2]:
                        value[key] = text
                continue
            flat = member.type_name == "list" and member.serialization.get("flattened")
            if flat and "name" not in member.serialization and member.member.serialization.get("name"):
                key = member.member.serialization["name"]
            found = rest.pop(key, None)
            if found is None:
                continue
            outer = member.serialization.get("name", name)
            if flat:
                value[outer] = [xml_value(member.member, c, f"{path}.{key}[]", report) for c in found]
                continue
            if len(found) > 1:
                report(path, f"{key} stands {len(found)} times")
            value[outer] = xml_value(member, found[0], f"{path}.{key}", report)
        for key in rest:
            report(path, f"{shape.name} has no member {key}")
        return value
    if kind == "list":
        want = shape.member.serialization.get("name", "member")
        for child in node:
            if local(child.tag) != want:
                report(path, f"a list's element is {local(child.tag)}, {want} wanted")
        return [xml_value(shape.member, c, path + "[]", report) for c in node]
    if kind == "map":
        value = {}
        for entry in node:
            parts = {local(c.tag): c for c in entry}
            value[parts["key"].text or ""] = xml_value(shape.value, parts["value"], path + "{}", report)
        return value
    if len(node):
        report(path, f"a {kind} has elements")
    return scalar(shape, node.text or "", path, report)


def form_value(shape, form, prefix, used, path, report):
    """The value of a query parameter and those under it; None where it is not there."""
    kind = shape.type_name
    under = [k for k in form if k.startswith(prefix + ".")] if prefix else list(form)
    if kind == "structure":
        value = {}
        for name, member in shape.members.items():
            key = member.serialization.get("name", name)
            part = form_value(member, form, f"{prefix}.{key}" if prefix else key, used, f"{path}.{key}", report)
            if part is not None:
                value[key] = part
        return value if value or under else None
    if kind in ("list", "map"):
        if form.get(prefix) == "":
            used.add(prefix)
            return [] if kind == "list" else {}
        if not under:
            return None
        value, step = [], prefix + ("" if shape.serialization.get("flattened") else ".member")
        for i in range(1, len(under) + 1):
            part = form_value(shape.member, form, f"{step}.{i}", used, path + "[]", report)
            if part is None:
                break
            value.append(part)
        return value
    if prefix not in form:
        return None
    used.add(prefix)
    return scalar(shape, form[prefix], path, report)


# S3's own headers that are of no operation.
TRANSPORT = re.compile(r"x-amz-(date|content-sha256|security-token|user-agent|trailer|decoded-content-length|sdk-.*|checksum-.*|id-2|request-id|bucket-region|te)")


def rest_operation(service, method, path, query, headers):
    """The operation that a request is, by the model's own routes: it, its constant
    parameters and its labels."""
    best = None
    for name in MODELS[service].operation_names:
        op = MODELS[service].operation_model(name)
        route, _, constants = op.http["requestUri"].partition("?")
        route = re.sub(r"\\{(\w+)(\\\+)?\\}", lambda m: f"(?P<{m[1]}>{'.+' if m[2] else '[^/]+'})", re.escape(route))
        labels = re.fullmatch(route + "/?", path)
        if op.http["method"] != method or not labels:
            continue
        constant = urllib.parse.parse_qsl(constants, keep_blank_values=True)
        if any(k not in query or v and v not in query[k] for k, v in constant):
            continue
        needs = []
        for member in op.input_shape.required_members if op.input_shape else ():
            where = op.input_shape.members[member].serialization
            if where.get("location") == "querystring":
                needs.append(where["name"] in query)
            elif where.get("location") == "header":
                needs.append(where["name"].lower() in headers)
        if not all(needs):
            continue
        score = (not op.deprecated, len(constant) + len(needs), name in query.get("x-id", ()), -len(op.input_shape.members) if op.input_shape else 0)
        if best is None or score > best[0]:
            best = (score, op, {k for k, _ in constant}, {k: urllib.parse.unquote(v) for k, v in labels.groupdict().items()})
    return (None, set(), {}) if best is None else best[1:]


def rest_value(shape, body, headers, query, constants, labels, report):
    """Read a REST-XML message by its shape: labels, query, headers, payload."""
    value, names, prefixes, queries = {}, set(), [], set()
    payload = shape.serialization.get("payload")
    for name, member in shape.members.items():
        where, key = member.serialization.get("location"), member.serialization.get("name", name)
        if where == "uri":
            if labels.get(key):
                value[key] = labels[key]
        elif where == "querystring":
            queries.add(key)
            if key in query:
                value[key] = query[key] if member.type_name == "list" else scalar(member, query[key][0], key, report)
        elif where == "header":
            names.add(key.lower())
            if key.lower() in headers:
                value[key] = scalar(member, headers[key.lower()], key, report, "rfc822")
                if member.type_name == "list":
                    value[key] = [p.strip() for p in headers[key.lower()].split(",")]
        elif where == "headers":
            prefixes.append(key.lower())
            value[key] = {h[len(key):]: v for h, v in headers.items() if h.startswith(key.lower())}
        elif name == payload:
            if member.type_name in ("blob", "string"):
                if body or member.type_name == "blob":
                    value[key] = body if member.type_name == "blob" else body.decode()
            elif body:
                root = ET.fromstring(body)
                if local(root.tag) not in (key, member.name):
                    report("payload", f"the root is {local(root.tag)}, {key} wanted")
                value[key] = xml_value(member, root, key, report)
    if not payload and body:
        value.update(xml_value(shape, ET.fromstring(body), shape.name, report))
    for key in query:
        if key not in queries and key not in constants and key != "x-id" and not key.lower().startswith("x-amz-"):
            report("query", f"{shape.name} has no member {key}")
    for key in headers:
        if key.startswith("x-amz-") and key not in names and not TRANSPORT.fullmatch(key) and not any(key.startswith(p) for p in prefixes):
            report("header", f"{shape.name} has no member {key}")
    return value


class Pair:
    def __init__(self, line):
        self.test, self.strict = line["test"], line["strict"]
        request, response = line["request"], line["response"]
        self.method, self.url = request["method"], urllib.parse.urlsplit(request["url"])
        self.query = urllib.parse.parse_qs(self.url.query, keep_blank_values=True)
        self.headers = {k.lower(): v[0] for k, v in request["header"].items()}
        self.body = base64.b64decode(request["body"] or "")
        self.status = response["status"]
        self.answer_headers = {k.lower(): v[0] for k, v in response["header"].items()}
        self.answer = base64.b64decode(response["body"] or "")
        self.form = None
        target = self.headers.get("x-amz-target", "")
        scope = re.search(r"Credential=[^/]*/\d+/[^/]*/([^/]*)/", self.headers.get("authorization", ""))
        self.constants = set()
        if target:
            service, _, name = target.partition(".")
            self.service = TARGETS.get(service)
        elif self.method == "POST" and self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            self.form = dict(urllib.parse.parse_qsl(self.body.decode(), keep_blank_values=True))
            name = self.form.get("Action")
            self.service = {"2010-05-08": "iam", "2011-06-15": "sts"}.get(self.form.get("Version"))
        else:
            self.service = "s3control" if self.url.path.startswith("/v20180820/") else "s3"
            op, self.constants, self.labels = rest_operation(self.service, self.method, self.url.path, self.query, self.headers)
            if scope and scope[1] != "s3":
                self.service = None
            name = op.name if op else None
        self.operation = None
        if self.service and name in MODELS[self.service].operation_names:
            self.operation = MODELS[self.service].operation_model(name)

    def key(self):
        """What tells pairs apart: not the signature, not the request's ID."""
        answer = re.sub(rb"00000000-0000-4000-8000-\d{12}", b"", self.answer)
        return (self.strict, self.method, self.url, self.headers.get("x-amz-target"), self.body, self.status, answer)

    def input(self, report):
        shape = self.operation.input_shape
        if self.form is not None:
            used = {"Action", "Version"}
            value = form_value(shape, self.form, "", used, "input", report) if shape else {}
            for key in self.form:
                if key not in used:
                    report("input", f"no member is sent as {re.sub('[0-9]+', 'N', key)}")
            return shape, value or {}
        if self.service in ("s3", "s3control"):
            if self.operation.http_checksum.get("requestChecksumRequired") and not any(
                h == "content-md5" or h.startswith("x-amz-checksum-") or h == "x-amz-trailer" for h in self.headers
            ):
                report("header", "a checksum is needed")
            return shape, rest_value(shape, self.body, self.headers, self.query, self.constants, self.labels, report)
        return shape, json.loads(self.body or b"{}")

    def output(self, report):
        shape, op = self.operation.output_shape, self.operation
        if self.service in ("s3", "s3control"):
            if self.status != op.http.get("responseCode", 200):
                report("status", f"{self.status}, {op.http.get('responseCode', 200)} wanted")
            if shape is None:
                if self.answer:
                    report("output", "there is a body, none wanted")
                return None, None
            return shape, rest_value(shape, self.answer, self.answer_headers, {}, set(), {}, report)
        if self.status != 200:
            report("status", f"{self.status}, 200 wanted")
        if self.form is not None:
            root = ET.fromstring(self.answer)
            parts = {local(c.tag): c for c in root}
            if local(root.tag) != op.name + "Response" or "RequestId" not in {local(c.tag) for c in parts.get("ResponseMetadata", ())}:
                report("output", f"the root is {local(root.tag)}, {op.name}Response with its ResponseMetadata wanted")
            if shape is None:
                return None, None
            wrapper = shape.serialization.get("resultWrapper", op.name + "Result")
            if wrapper not in parts:
                report("output", f"{wrapper} is missing")
                return None, None
            return shape, xml_value(shape, parts[wrapper], "output", report)
        if shape is None:
            return None, None
        return shape, json.loads(self.answer)

    def error(self, report):
        if self.method == "HEAD" or self.status == 304:
            return
        if self.service in ("s3", "s3control"):
            parts = {local(c.tag) for c in ET.fromstring(self.answer)}
            for want in ("Code", "Message", "RequestId", "HostId"):
                if want not in parts:
                    report("error", f"{want} is missing")
            return  # S3's models list next to none of its codes
        if self.form is not None:
            parts = {local(c.tag): c.text for c in ET.fromstring(self.answer).iter()}
            code = parts.get("Code")
            if parts.get("Type") != ("Receiver" if self.status >= 500 else "Sender") or "Message" not in parts:
                report("error", "Type or Message is wrong")
        else:
            body = json.loads(self.answer)
            code = body.get("__type", "").rpartition("#")[2]
            if not isinstance(body.get("message", body.get("Message")), str):
                report("error", "the message is missing")
        for shape in self.operation.error_shapes:
            about = shape.metadata.get("error", {})
            if code in (about.get("code"), shape.name):
                if about.get("code", code) != code:
                    report("error", f"the code is {code}, {about['code']} wanted")
                want = about.get("httpStatusCode", 500 if FAULTS[self.service][shape.name].get("fault") else 400)
                if self.status != want:
                    report("error", f"{code} has status {self.status}, {want} wanted")
                return
        if code not in COMMON:
            report("error", f"{code} is none of {', '.join(s.name for s in self.operation.error_shapes)}")


def hold(pair, report):
    """Check one pair. Says whether there was an operation to hold it against."""
    name = f"{pair.service}:{pair.operation.name}" if pair.operation else f"{pair.service} {pair.method} {pair.url.path}"
    report.where = (name, pair.test)
    if pair.operation is None:
        if pair.strict:
            report("request", "no operation is called so")
        return False
    try:
        if pair.strict:
            shape, value = pair.input(report)
            if shape:
                check(shape, value, "input", report)
        if pair.status < 300:
            shape, value = pair.output(report)
            if shape:
                check(shape, value, "output", report)
        else:
            pair.error(report)
    except (ET.ParseError, ValueError, KeyError) as e:
        report("wire", f"it cannot be read: {type(e).__name__}: {e}"[:200])
    return True


def try_out():
    """Break what is whole, and find it."""
    def pair(target=None, body=b"", status=200, answer=b"{}", method="POST", url="/", form=None, headers=None):
        header = {"Content-Type": ["application/x-amz-json-1.1"], "X-Amz-Target": [target]} if target else {}
        if form:
            header, body = {"Content-Type": ["application/x-www-form-urlencoded"]}, form.encode()
        header.update({k: [v] for k, v in (headers or {}).items()})
        return Pair({
            "test": "try", "strict": True,
            "request": {"method": method, "url": url, "header": header, "body": base64.b64encode(body)},
            "response": {"status": status, "header": {}, "body": base64.b64encode(answer)},
        })

    def iam(form, result="", operation="CreateUser"):
        return pair(form=form, answer=f"<{operation}Response><{operation}Result>{result}</{operation}Result><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{operation}Response>".encode())

    user = "<User><Path>/</Path><UserName>u</UserName><UserId>AIDA34567890123456</UserId><Arn>arn:aws:iam::123456789012:user/u</Arn><CreateDate>%s</CreateDate></User>"
    whole, create = user % "2026-01-02T03:04:05Z", "Action=CreateUser&Version=2010-05-08&UserName="
    logs, ecr = "Logs_20140328.", "AmazonEC2ContainerRegistry_V20150921."
    refused = lambda code, status: pair(ecr + "DeleteRepository", b'{"repositoryName":"images"}', status, json.dumps({"__type": code, "message": "m"}).encode())
    versioning = b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>%s</Status></VersioningConfiguration>'
    bucket = lambda status, **more: pair(method="PUT", url="/bucket?versioning", body=versioning % status, answer=b"", **more)
    md5 = {"Content-Md5": "x"}
    for want, p in (
        (None, iam(create + "u", whole)),
        (None, bucket(b"Enabled", headers=md5)),
        (None, refused("RepositoryNotFoundException", 400)),
        (None, pair(logs + "CreateLogGroup", b'{"logGroupName":"/g"}')),
        ("no operation", pair(logs + "MakeLogGroup", b"{}")),
        ("has no member name", pair(logs + "CreateLogGroup", b'{"logGroupName":"/g","name":"g"}')),
        ("needs logGroupName", pair(logs + "CreateLogGroup", b"{}")),
        ("is no string", pair(logs + "CreateLogGroup", b'{"logGroupName":7}')),
        ("does not match", pair(logs + "CreateLogGroup", b'{"logGroupName":"a b"}')),
        ("is none of", pair(logs + "CreateLogGroup", b'{"logGroupName":"/g","logGroupClass":"X"}')),
        ("at most 512", pair(logs + "CreateLogGroup", json.dumps({"logGroupName": "g" * 513}).encode())),
        ("at least 2", pair(ecr + "DeleteRepository", b'{"repositoryName":"a"}')),
        ("no member is sent as", iam(create + "u&Tagz.member.1.Key=k", whole)),
        ("needs Value", iam(create + "u&Tags.member.1.Key=k", whole)),
        ("does not match", iam(create + "u%20v", whole)),
        ("is no timestamp", iam(create + "u", user % "yesterday")),
        ("needs CreateDate", iam(create + "u", whole.replace("CreateDate", "Created"))),
        ("has no member Created", iam(create + "u", whole.replace("CreateDate", "Created"))),
        ("is missing", pair(form=create + "u", answer=b"<CreateUserResponse/>")),
        ("is none of Enabled", bucket(b"On", headers=md5)),
        ("a checksum is needed", bucket(b"Enabled")),
        ("has no member x-amz-stray", bucket(b"Enabled", headers={**md5, "X-Amz-Stray": "1"})),
        ("status 404, 400 wanted", refused("RepositoryNotFoundException", 404)),
        ("is none of", refused("NoSuchRepository", 400)),
        ("cannot be read", pair(logs + "CreateLogGroup", b"{")),
    ):
        report = Findings()
        hold(p, report)
        texts = [text for _, text in report.found]
        if texts if want is None else not any(want in text for text in texts):
            sys.exit(f"the check is broken: {want or 'nothing'} was to be found, and found was {texts}")


def main():
    try_out()
    report, seen, held, operations = Findings(), set(), 0, collections.Counter()
    for path in sorted(glob.glob(sys.argv[1] + "/pairs-*.jsonl")):
        with open(path) as lines:
            for line in lines:
                pair = Pair(json.loads(line))
                if pair.key() in seen:
                    continue
                seen.add(pair.key())
                if hold(pair, report):
                    held += 1
                    operations[f"{pair.service}:{pair.operation.name}"] += 1
    for (operation, text), test in report.found.items():
        print(f"{operation}: {text}\n    {test}")
    print(f"{held} distinct pairs of {len(operations)} operations, {len(report.found)} findings")
    if report.found or not held:
        sys.exit(1)


main()
