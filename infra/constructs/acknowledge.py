"""Findings of cdk-nag that are as they should be, each with the reason."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Aws, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, rule: str, reason: str, *, finding: str = "") -> None:
    """Say why a finding of cdk-nag's AwsSolutions on `construct` is intended.

    Args:
        construct: what it is about.
        rule: for example `IAM5`.
        reason: why this is right here.
        finding: which one, where a rule may find several things in one resource.
    """
    id_ = f"AwsSolutions-{rule}" + (f"[{finding}]" if finding else "")
    Validations.of(construct).acknowledge(Acknowledgment(id=id_, reason=reason))


def shown(text: str) -> str:
    """`text` as cdk-nag shows it: placeholders by their names."""
    for token, name in (
        (Aws.PARTITION, "<AWS::Partition>"),
        (Aws.ACCOUNT_ID, "<AWS::AccountId>"),
        (Aws.REGION, "<AWS::Region>"),
    ):
        text = text.replace(token, name)
    return text
