"""Outputs of the stack: what `cdk deploy` prints, and `infra.deployed` reads."""

from __future__ import annotations

from aws_cdk import CfnOutput
from constructs import Construct


def output(scope: Construct, name: str, value: str, description: str) -> None:
    """An output under exactly this name, in any construct."""
    CfnOutput(scope, name, value=value, description=description).override_logical_id(name)
