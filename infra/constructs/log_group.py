"""Log groups with a limited retention."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.config import Config


def log_group(scope: Construct, id_: str, name: str, config: Config) -> logs.LogGroup:
    """A log group that keeps its logs for `retention_days`, and is deleted with its stack."""
    group = logs.LogGroup(scope, id_, log_group_name=name, removal_policy=RemovalPolicy.DESTROY)
    resource = group.node.default_child
    assert isinstance(resource, logs.CfnLogGroup)
    resource.retention_in_days = config.retention_days
    return group
