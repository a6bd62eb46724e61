"""The dashboard: one page for operators."""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.alarms import Reading
from infra.config import FUNCTIONS, Config
from infra.constructs.alarm import metric
from infra.names import NAMESPACE, SNAPSHOT_AGE, Names

PERIOD_SECONDS = 300
WIDTH = 8


def dashboard(
    scope: Construct, config: Config, names: Names, api_id: str, alarms: Iterable[cloudwatch.IAlarm]
) -> cloudwatch.Dashboard:
    """Alarms first, then queries, uploads and trainings."""
    page = cloudwatch.Dashboard(scope, "Dashboard", dashboard_name=names.prefix)
    page.add_widgets(cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=3 * WIDTH))
    page.add_widgets(*_api(api_id))
    page.add_widgets(*_uploads(names))
    page.add_widgets(*_work(config, names))
    return page


def _graph(title: str, *readings: Reading) -> cloudwatch.GraphWidget:
    metrics = [metric(reading, PERIOD_SECONDS) for reading in readings]
    return cloudwatch.GraphWidget(title=title, left=metrics, width=WIDTH)


def _api(api_id: str) -> list[cloudwatch.GraphWidget]:
    def reading(name: str, statistic: str) -> Reading:
        return Reading("AWS/ApiGateway", name, {"ApiId": api_id}, statistic)

    return [
        _graph("Requests", reading("Count", "Sum")),
        _graph("Latency, ms", *(reading("Latency", each) for each in ("p50", "p95", "p99"))),
        _graph("Errors of the API", reading("4xx", "Sum"), reading("5xx", "Sum")),
    ]


def _uploads(names: Names) -> list[cloudwatch.GraphWidget]:
    def readings(metric_name: str, *queues: str) -> list[Reading]:
        return [Reading("AWS/SQS", metric_name, {"QueueName": queue}, "Maximum") for queue in queues]

    visible, age = "ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"
    return [
        _graph("Waiting", *readings(visible, names.uploads, names.builds)),
        _graph("Oldest message, s", *readings(age, names.uploads, names.builds)),
        _graph("Dead letters", *readings(visible, names.uploads_dead, names.builds_dead)),
    ]


def _work(config: Config, names: Names) -> list[cloudwatch.GraphWidget]:
    functions = [
        Reading("AWS/Lambda", "Errors", {"FunctionName": names.function(name)}) for name in FUNCTIONS
    ]
    machine = {"StateMachineArn": names.machine_arn}
    ends = ("ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed")
    ages = [
        Reading(NAMESPACE, SNAPSHOT_AGE, {"collection": collection}, "Maximum")
        for collection in config.collections
    ]
    return [
        _graph("Errors of functions", *functions),
        _graph("Trainings", *(Reading("AWS/States", end, machine) for end in ends)),
        *([_graph("Age of snapshots, s", *ages)] if ages else []),
    ]
