"""Intended findings of cdk-nag, each with its reason."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Aws, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, rule: str, reason: str, *, finding: str = "") -> None:
    """Record why a finding of cdk-nag's AwsSolutions on `construct` is intended.

    Args:
        construct: the construct with the finding.
        rule: for example `IAM5`.
        reason: why it is intended.
        finding: which one, if a rule may have several findings in one resource.
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
