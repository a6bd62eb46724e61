"""A role with exactly the grants that are listed for it; no other code can add to it."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import CfnResource, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.constructs.acknowledge import acknowledge, shown
from infra.grant import Grant

REASONS = "WildcardReasons"
"""Key of a role's metadata in the template: the reason for each `*` in a resource."""


def role_for(
    scope: Construct,
    id_: str,
    *,
    service: str,
    grants: Sequence[Grant],
    description: str,
    only_own_account: bool = True,
) -> iam.Role:
    """A role for an AWS service, for example `lambda.amazonaws.com`.

    Args:
        scope: where it belongs.
        id_: its name there.
        service: the service that may assume it.
        grants: everything that it allows.
        description: its purpose.
        only_own_account: only this account's resources may assume it (no confused deputy). Lambda does not
            name the resource that it acts for, and needs False.
    """
    own = {"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}} if only_own_account else None
    statements = [iam.PolicyStatement.from_json(grant.statement()) for grant in grants]
    role = iam.Role(
        scope,
        id_,
        assumed_by=iam.ServicePrincipal(service, conditions=own),
        description=description,
        inline_policies={"grants": iam.PolicyDocument(statements=statements, minimize=False)},
    )
    _give_reasons(role, grants)
    return role


def _give_reasons(role: iam.Role, grants: Sequence[Grant]) -> None:
    reasons: dict[str, str] = {}
    for grant in grants:
        for arn in grant.wildcards:
            known = reasons.setdefault(arn, grant.why)
            reasons[arn] = known if grant.why in known else f"{known} {grant.why}"
    for arn, why in reasons.items():
        acknowledge(role, "IAM5", why, finding=f"Resource::{shown(arn)}")
    if reasons:
        resource = role.node.default_child
        assert isinstance(resource, CfnResource)
        resource.add_metadata(REASONS, [{"Resource": arn, "Reason": why} for arn, why in reasons.items()])
