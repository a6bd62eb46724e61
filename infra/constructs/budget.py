"""A monthly budget: an e-mail when a month's costs reach the sum of the configuration, or will reach it."""

from __future__ import annotations

from aws_cdk import aws_budgets as budgets
from constructs import Construct

from infra.config import Config

STAGE_TAG = "lookalike:stage"


def budget(scope: Construct, name: str, config: Config) -> budgets.CfnBudget:
    """Notifies `alarms.email` of actual and of forecast costs above `alarms.monthly_dollars`.

    It counts what carries this stage's tag, which an account has to activate once as a cost allocation tag
    (Billing, "Cost allocation tags").
    """
    assert config.alarms.email is not None
    assert config.alarms.monthly_dollars is not None
    subscriber = budgets.CfnBudget.SubscriberProperty(address=config.alarms.email, subscription_type="EMAIL")
    return budgets.CfnBudget(
        scope,
        "Budget",
        budget=budgets.CfnBudget.BudgetDataProperty(
            budget_name=name,
            budget_type="COST",
            time_unit="MONTHLY",
            budget_limit=budgets.CfnBudget.SpendProperty(amount=config.alarms.monthly_dollars, unit="USD"),
            cost_filters={"TagKeyValue": [f"user:{STAGE_TAG}${config.stage}"]},
        ),
        notifications_with_subscribers=[
            budgets.CfnBudget.NotificationWithSubscribersProperty(
                notification=budgets.CfnBudget.NotificationProperty(
                    comparison_operator="GREATER_THAN",
                    notification_type=kind,
                    threshold=100,
                    threshold_type="PERCENTAGE",
                ),
                subscribers=[subscriber],
            )
            for kind in ("ACTUAL", "FORECASTED")
        ],
    )
