"""The table of permissions, read as it is."""

from __future__ import annotations

import fnmatch

import pytest

from infra.config import FUNCTIONS
from infra.grant import Grant
from infra.names import Names
from infra.permissions import function_grants
from infra.training_permissions import machine_grants

NAMES = Names("dev", "123456789012", "eu-west-1", "aws")


def allows(function: str, action: str, resource: str) -> bool:
    """Whether the role of `function` may do `action` to `resource`."""
    return any(
        action in grant.actions and any(fnmatch.fnmatchcase(resource, each) for each in grant.resources)
        for grant in function_grants(NAMES, function)  # type: ignore[arg-type]
    )


def test_an_action_with_a_star_cannot_be_granted() -> None:
    with pytest.raises(ValueError, match="one by one"):
        Grant(("s3:*",), ("arn:aws:s3:::bucket",))


def test_a_star_in_a_resource_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        Grant(("s3:GetObject",), ("arn:aws:s3:::bucket/*",))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nobody_reaches_beyond_the_deployment(function: str) -> None:
    for grant in function_grants(NAMES, function):  # type: ignore[arg-type]
        for resource in grant.resources:
            own = "lookalike-dev-" in resource
            assert own or grant.actions[0].startswith("xray:"), (function, resource)


def test_who_may_change_api_keys() -> None:
    keys = NAMES.bucket_arn(NAMES.artifacts, "keys.json")
    assert [name for name in FUNCTIONS if allows(name, "s3:GetObject", keys)] == ["query"]
    assert [name for name in FUNCTIONS if allows(name, "s3:PutObject", keys)] == []
    assert [name for name in FUNCTIONS if allows(name, "s3:DeleteObject", keys)] == []


def test_who_may_change_encoders() -> None:
    encoder = NAMES.bucket_arn(NAMES.artifacts, "encoders/x/encoder.json")
    assert [name for name in FUNCTIONS if allows(name, "s3:PutObject", encoder)] == ["register"]


def test_who_may_change_pictures() -> None:
    picture = NAMES.bucket_arn(NAMES.images, "shop/images/shoes/1.jpg")
    assert [name for name in FUNCTIONS if allows(name, "s3:PutObject", picture)] == ["query"]
    assert [name for name in FUNCTIONS if allows(name, "s3:DeleteObject", picture)] == ["query"]


def test_a_missing_object_is_404_and_not_403() -> None:
    """S3 hides what is missing from whoever may not list the whole bucket."""
    for function in FUNCTIONS:
        assert allows(function, "s3:ListBucket", NAMES.bucket_arn(NAMES.artifacts)), function
    for grant in (grant for name in FUNCTIONS for grant in function_grants(NAMES, name)):
        assert not ("s3:ListBucket" in grant.actions and grant.conditions)


def test_each_queue_has_one_reader() -> None:
    for queue, reader in ((NAMES.uploads, "ingest"), (NAMES.builds, "builder")):
        arn = NAMES.arn("sqs", queue)
        for action in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes"):
            assert [name for name in FUNCTIONS if allows(name, f"sqs:{action}", arn)] == [reader]


def test_who_starts_trainings() -> None:
    starts = [name for name in FUNCTIONS if allows(name, "states:StartExecution", NAMES.machine_arn)]
    assert starts == ["query", "ingest"]


def test_who_asks_for_builds() -> None:
    builds = NAMES.arn("sqs", NAMES.builds)
    senders = [name for name in FUNCTIONS if allows(name, "sqs:SendMessage", builds)]
    assert senders == ["query", "ingest", "reconcile"]


def test_a_distributed_map_can_be_redriven() -> None:
    execution = NAMES.arn("states", f"execution:{NAMES.machine}/EncodeAll:run")
    for action in ("DescribeExecution", "StopExecution", "RedriveExecution"):
        assert any(
            f"states:{action}" in grant.actions
            and any(fnmatch.fnmatchcase(execution, each) for each in grant.resources)
            for grant in machine_grants(NAMES, "arn:aws:iam::123456789012:role/job")
        ), action
