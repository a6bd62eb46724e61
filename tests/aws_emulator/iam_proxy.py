"""IAM on loopback: a proxy that lets a function do only what its role in the template allows.

A function identifies itself by its access key, which is its short name; a presigned URL, by the credential in
it. Each request is translated into IAM's actions (https://docs.aws.amazon.com/service-authorization/). A
request that no statement of the role allows is refused as AWS refuses it; allowed actions are recorded.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

from tests.aws_emulator.deployment import PREFIX, Cloud
from tests.aws_emulator.http_forwarder import HttpForwarder, Request, Response
from tests.aws_emulator.lambda_process import LambdaProcess
from tests.aws_emulator.moto_server import ACCOUNT, REGION
from tests.aws_emulator.templates import of_type, text, texts

Need = tuple[str, str]
"""An action and its resource."""

REFUSAL = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class IamProxy:
    """Enforces the roles of a deployment until the end of the block.

    Attributes:
        refused: requests that were refused, in words.
        used: what each function did, by its short name.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.statements = _statements(cloud)
        self.refused: list[str] = []
        self.used: dict[str, set[Need]] = defaultdict(set)
        self._forwarder = HttpForwarder(cloud.server, self._handle)

    def __enter__(self) -> IamProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._forwarder.close()

    @property
    def url(self) -> str:
        """What functions call instead of AWS."""
        return self._forwarder.url

    def process(self, short: str, *, role: str | None = None, **changes: str) -> LambdaProcess:
        """A function with its own role, or another's, that reaches AWS only through this proxy."""
        return self._cloud.process(
            short,
            AWS_ACCESS_KEY_ID=role or short,
            AWS_ENDPOINT_URL=self.url,
            LOOKALIKE_S3_ENDPOINT=self.url,
            **changes,
        )

    def allows(self, caller: str, action: str, resource: str) -> bool:
        """Whether a function's role allows an action."""
        return any(
            action in actions and any(pattern.fullmatch(resource) for pattern in resources)
            for actions, resources in self.statements.get(caller, [])
        )

    def _handle(self, request: Request) -> Response:
        caller, needs = _caller(request), list(_needs(request))
        missing = [need for need in needs if not self.allows(caller, *need)]
        if missing or not needs:
            what = missing or [(request.method, request.path)]
            self.refused += [f"{caller} may not {action} {resource}" for action, resource in what]
            return _refusal(request)
        self.used[caller] |= set(needs)
        response = self._forwarder.forward(request)
        if response.status == 404 and request.method in {"GET", "HEAD"}:
            path = unquote(urlsplit(request.path).path)
            # S3 answers 403, not 404, to a caller that may not list the bucket.
            if not self.allows(caller, "s3:ListBucket", f"arn:aws:s3:::{path.split('/')[1]}"):
                self.refused.append(f"{caller} may not learn that {path} is missing")
                return _refusal(request)
        return response


def _statements(cloud: Cloud) -> dict[str, list[tuple[list[str], list[re.Pattern[str]]]]]:
    """Actions and resources of each statement of each function's role."""
    found: dict[str, list[tuple[list[str], list[re.Pattern[str]]]]] = {}
    roles = of_type(cloud.template, "AWS::IAM::Role")
    for function in of_type(cloud.template, "AWS::Lambda::Function").values():
        properties = function["Properties"]
        role = roles[properties["Role"]["Fn::GetAtt"][0]]["Properties"]
        found[properties["FunctionName"].removeprefix(f"{PREFIX}-")] = [
            (texts(each["Action"]), [_pattern(text(resource)) for resource in _listed(each["Resource"])])
            for policy in role["Policies"]
            for each in policy["PolicyDocument"]["Statement"]
        ]
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _pattern(resource: str) -> re.Pattern[str]:
    return re.compile(re.escape(resource).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def _caller(request: Request) -> str:
    if found := re.search(r"Credential=([^/,]+)/", request.headers.get("Authorization", "")):
        return found[1]
    return _query(request).get("X-Amz-Credential", ["nobody/"])[0].split("/")[0]


def _query(request: Request) -> dict[str, list[str]]:
    return parse_qs(urlsplit(request.path).query, keep_blank_values=True)


def _refusal(request: Request) -> Response:
    if request.target:
        document = {"__type": "AccessDeniedException", "message": "not authorized"}
        kind = ("Content-Type", "application/x-amz-json-1.0")
        return Response(400, (kind,), json.dumps(document).encode())
    return Response(403, (("Content-Type", "application/xml"),), REFUSAL)


# What a request needs


def _needs(request: Request) -> Iterator[Need]:
    """The actions that IAM checks; none for a request that is not known here."""
    if request.target:
        yield from _service_needs(request.target, json.loads(request.body))
        return
    bucket, _, key = unquote(urlsplit(request.path).path).lstrip("/").partition("/")
    bucket_arn = f"arn:aws:s3:::{bucket}"
    query = _query(request)
    if not key:
        if request.method == "POST" and "delete" in query:
            for entry in ElementTree.fromstring(request.body).iter():
                if entry.tag.endswith("Key"):
                    yield "s3:DeleteObject", f"{bucket_arn}/{entry.text}"
        elif request.method == "GET" and set(query) <= LISTING:
            yield "s3:ListBucket", bucket_arn
        return
    if action := _object_action(request.method, query):
        yield action, f"{bucket_arn}/{key}"
    if source := request.headers.get("x-amz-copy-source"):
        yield "s3:GetObject", f"arn:aws:s3:::{unquote(source).lstrip('/')}"


LISTING = {
    "list-type",
    "prefix",
    "delimiter",
    "start-after",
    "continuation-token",
    "max-keys",
    "encoding-type",
}


def _object_action(method: str, query: dict[str, list[str]]) -> str | None:
    version = "Version" if "versionId" in query else ""
    if method in {"GET", "HEAD"}:
        return f"s3:GetObject{version}"
    if method == "DELETE":
        return "s3:AbortMultipartUpload" if "uploadId" in query else f"s3:DeleteObject{version}"
    if method == "PUT" or (method == "POST" and {"uploads", "uploadId"} & set(query)):
        return "s3:PutObject"
    return None


def _service_needs(target: str, body: dict[str, Any]) -> Iterator[Need]:
    service, _, action = target.partition(".")
    if service == "AmazonSQS":
        # A batch needs the permission of the single action.
        queue = body["QueueUrl"].rsplit("/", 1)[-1]
        yield f"sqs:{action.removesuffix('Batch')}", f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
    elif service == "AWSStepFunctions":
        yield f"states:{action}", body.get("stateMachineArn") or body["executionArn"]
