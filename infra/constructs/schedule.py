"""A schedule that calls a function once a day."""

from __future__ import annotations

from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra.constructs.role import role_for
from infra.grant import Grant

WINDOW_MINUTES = 60
RETRIES = 2


def daily(
    scope: Construct, id_: str, *, name: str, function: lambda_.IFunction, function_arn: str
) -> scheduler.CfnSchedule:
    """Calls `function` once a day, some time within an hour, which spreads the load on AWS.

    Args:
        scope: where it belongs.
        id_: its name there.
        name: of the schedule in the account.
        function: what it calls.
        function_arn: its ARN by name, for the role.
    """
    role = role_for(
        scope,
        f"{id_}Role",
        service="scheduler.amazonaws.com",
        grants=[Grant(("lambda:InvokeFunction",), (function_arn,))],
        description=f"The schedule {name}",
    )
    return scheduler.CfnSchedule(
        scope,
        id_,
        name=name,
        schedule_expression="rate(1 day)",
        flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(
            mode="FLEXIBLE", maximum_window_in_minutes=WINDOW_MINUTES
        ),
        target=scheduler.CfnSchedule.TargetProperty(
            arn=function.function_arn,
            role_arn=role.role_arn,
            retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(maximum_retry_attempts=RETRIES),
        ),
    )
