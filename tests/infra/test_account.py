"""Warnings about an account before a deployment, against a server that answers as AWS does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.account import findings
from infra.config import Config
from infra.loopback_server import LoopbackHandler, LoopbackServer

QUOTA = "ml.c5.2xlarge for spot training job usage"


@contextmanager
def account(executions: int, quota: float, stacks: tuple[str, ...] = ()) -> Iterator[str]:
    """URL of a server with these limits and stacks."""

    class Answers(LoopbackHandler):
        def do_GET(self) -> None:
            self._answer(200, json.dumps({"AccountLimit": {"ConcurrentExecutions": executions}}))

        def do_POST(self) -> None:
            body = self.read_body().decode()
            if "ListServiceQuotas" in str(self.headers.get("X-Amz-Target")):
                self._answer(200, json.dumps({"Quotas": [{"QuotaName": QUOTA, "Value": quota}]}))
            elif any(name in body for name in stacks):
                self._answer(200, STACK_THERE)
            else:
                self._answer(400, NO_STACK)

        def _answer(self, status: int, text: str) -> None:
            self.respond(status, body=text.encode())

    server = LoopbackServer(Answers)
    try:
        yield f"http://{server.address}"
    finally:
        server.close()


XMLNS = 'xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"'
STACK_THERE = f"""<DescribeStacksResponse {XMLNS}><DescribeStacksResult><Stacks><member>
<StackName>lookalike-dev-data</StackName><StackStatus>CREATE_COMPLETE</StackStatus>
<CreationTime>2026-01-01T00:00:00Z</CreationTime></member></Stacks></DescribeStacksResult>
</DescribeStacksResponse>"""
NO_STACK = f"""<ErrorResponse {XMLNS}><Error><Type>Sender</Type><Code>ValidationError</Code>
<Message>Stack with id lookalike-dev-data does not exist</Message></Error></ErrorResponse>"""


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


def found(url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return {each.id: each.text for each in findings(Config.from_context({}))}


def test_an_account_with_room_deserves_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with account(executions=1_000, quota=2) as url:
        assert found(url, monkeypatch) == {}


def test_a_new_account(monkeypatch: pytest.MonkeyPatch) -> None:
    with account(executions=10, quota=0) as url:
        texts = found(url, monkeypatch)
    assert set(texts) == {"executions", "training-machines"}
    assert (
        "runs 10 functions at once; ingest and builds take up to 5 of them, and leave 5"
        in texts["executions"]
    )
    assert QUOTA in texts["training-machines"]
    assert "console.aws.amazon.com/servicequotas" in texts["training-machines"]


def test_a_deployment_by_an_older_version_stops_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with account(executions=1_000, quota=2, stacks=("lookalike-dev-data",)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        (only,) = findings(Config.from_context({}))
    assert only.fatal
    assert "five stacks" in only.text
    assert "make destroy" in only.text


def test_what_cannot_be_read_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("http://127.0.0.1:9", monkeypatch) == {}
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    assert found("http://127.0.0.1:9", monkeypatch) == {}
