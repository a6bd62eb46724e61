"""No role may do more than it must, and every wildcard says why it is there."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.aws_emulator.templates import EVERYTHING, Template, of_type, template, text, texts

VARIANTS = {
    "as it is": (),
    "everything chosen": EVERYTHING,
}


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS)
def synthesised(request: pytest.FixtureRequest) -> Template:
    return template(*request.param)


def roles(of: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from of_type(of, "AWS::IAM::Role").items()


def statements(role: dict[str, Any]) -> list[dict[str, Any]]:
    policies = role["Properties"].get("Policies", [])
    return [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]


def excesses(of: Template) -> list[str]:
    """Every star in an action, and every star in a resource for which the role gives no reason."""
    found = []
    for name, role in roles(of):
        reasons = {
            text(entry["Resource"]): entry["Reason"]
            for entry in role.get("Metadata", {}).get("WildcardReasons", [])
        }
        for statement in statements(role):
            found += [f"{name} may {action}" for action in texts(statement["Action"]) if "*" in action]
            found += [
                f"{name} reaches {resource}"
                for resource in texts(statement["Resource"])
                if "*" in resource and len(reasons.get(resource, "")) < 20
            ]
    return found


def test_no_star_without_a_reason(synthesised: Template) -> None:
    assert excesses(synthesised) == []


@pytest.mark.parametrize(
    "addition",
    [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket"},
        {"Effect": "Allow", "Action": ["s3:Get*"], "Resource": "arn:aws:s3:::bucket"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*"},
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": ["arn:aws:sqs:::*"]},
    ],
)
def test_a_star_would_be_found(synthesised: Template, addition: dict[str, Any]) -> None:
    worse = copy.deepcopy(synthesised)
    (first, *_) = of_type(worse, "AWS::IAM::Role").values()
    first["Properties"]["Policies"][0]["PolicyDocument"]["Statement"].append(addition)
    assert len(excesses(worse)) == 1


def test_all_that_is_allowed_is_in_the_roles(synthesised: Template) -> None:
    """No managed policy, no policy beside a role, no user, no group."""
    for kind in ("Policy", "ManagedPolicy", "User", "Group"):
        assert of_type(synthesised, f"AWS::IAM::{kind}") == {}
    assert [name for name, role in roles(synthesised) if "ManagedPolicyArns" in role["Properties"]] == []


def test_everybody_has_a_role_of_their_own(synthesised: Template) -> None:
    used = [
        text(each["Properties"]["Role"]) for each in of_type(synthesised, "AWS::Lambda::Function").values()
    ]
    assert len(used) == len(set(used)) == 8
    others = 3  # of the state machine, the training container, the schedule
    assert len(list(roles(synthesised))) == 8 + others


def test_services_act_for_this_account_only(synthesised: Template) -> None:
    for name, role in roles(synthesised):
        (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        service = trust["Principal"]["Service"]
        if service != "lambda.amazonaws.com":  # Lambda does not say on whose behalf it comes
            assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}, name


def test_resource_policies_let_nobody_in_from_outside(synthesised: Template) -> None:
    """What buckets, queues, keys and topics allow, they allow to a service that acts for this account."""
    kinds = ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::KMS::Key")
    for kind in kinds:
        for name, resource in of_type(synthesised, kind).items():
            properties = resource["Properties"]
            document = properties.get("PolicyDocument") or properties["KeyPolicy"]
            for statement in document["Statement"]:
                assert statement["Effect"] == "Deny" or _is_ours(statement), (name, statement)


def _is_ours(statement: dict[str, Any]) -> bool:
    principal = statement["Principal"]
    if "Service" in principal:
        return "aws:SourceAccount" in json.dumps(statement["Condition"])
    return text(principal["AWS"]) == "arn:aws:iam::123456789012:root"


def test_a_role_is_passed_to_sagemaker_only(synthesised: Template) -> None:
    passing = [
        statement
        for _, role in roles(synthesised)
        for statement in statements(role)
        if "iam:PassRole" in texts(statement["Action"])
    ]
    assert len(passing) == 1
    assert passing[0]["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert texts(passing[0]["Resource"])[0].startswith("<TrainingJobRole")
