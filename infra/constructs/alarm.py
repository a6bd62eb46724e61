"""An alarm from its row in the table, and the topic that sends its notifications."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.alarms import RUNBOOK, AlarmSpec, Reading


def alarm(scope: Construct, spec: AlarmSpec, *, prefix: str, topic: sns.ITopic | None) -> cloudwatch.Alarm:
    """One alarm. Missing data counts as good: an unused system raises no alarm."""
    made = cloudwatch.Alarm(
        scope,
        "".join(part.capitalize() for part in spec.name.split("-")),
        alarm_name=f"{prefix}-{spec.name}",
        alarm_description=f"{spec.says} What to do: {RUNBOOK}#{spec.section}",
        metric=summed(spec),
        threshold=spec.threshold,
        evaluation_periods=spec.periods,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        evaluate_low_sample_count_percentile=None if spec.few_samples else "ignore",
    )
    if topic:
        made.add_alarm_action(actions.SnsAction(topic))
        made.add_ok_action(actions.SnsAction(topic))
    return made


def metric(reading: Reading, period_seconds: int) -> cloudwatch.Metric:
    """The CDK's form of a metric."""
    return cloudwatch.Metric(
        namespace=reading.namespace,
        metric_name=reading.metric,
        dimensions_map=dict(reading.dimensions),
        statistic=reading.statistic,
        period=Duration.seconds(period_seconds),
    )


def summed(spec: AlarmSpec) -> cloudwatch.IMetric:
    """The expression that the alarm checks."""
    metrics = [metric(reading, spec.period_seconds) for reading in spec.readings]
    if len(metrics) == 1:
        return metrics[0]
    named = {f"m{number}": each for number, each in enumerate(metrics)}
    return cloudwatch.MathExpression(
        expression="SUM([" + ", ".join(f"FILL({name}, 0)" for name in named) + "])",
        using_metrics=named,
        label=spec.says,
        period=Duration.seconds(spec.period_seconds),
    )


def alarm_topic(scope: Construct, name: str, email: str) -> sns.Topic:
    """Sends alarms to `email`, once its owner has confirmed the subscription.

    The key is our own because CloudWatch is not allowed to use the one that AWS keeps for SNS.
    """
    key = kms.Key(
        scope,
        "TopicKey",
        description=f"Messages of {name}",
        enable_key_rotation=True,
        pending_window=Duration.days(7),
        removal_policy=RemovalPolicy.DESTROY,
    )
    key.add_to_resource_policy(
        iam.PolicyStatement(
            sid="AlarmsOfThisAccount",
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["kms:Decrypt", "kms:GenerateDataKey"],
            resources=["*"],  # in a key's policy: this key
            conditions={"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}},
        )
    )
    topic = sns.Topic(scope, "Topic", topic_name=name, master_key=key, enforce_ssl=True)
    topic.add_subscription(subscriptions.EmailSubscription(email))
    return topic
