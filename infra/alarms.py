"""A table of all alarms; the runbook has a section for each (`docs/runbook.md`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infra.config import FUNCTIONS, Config
from infra.names import NAMESPACE, SNAPSHOT_AGE, Names
from infra.training_permissions import STEPS

RUNBOOK = "docs/runbook.md"
MINUTE = 60


@dataclass(frozen=True)
class Reading:
    """One metric of CloudWatch."""

    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    statistic: str = "Sum"


@dataclass(frozen=True)
class AlarmSpec:
    """When to raise an alarm: the sum of `readings` reaches `threshold` in `periods` periods.

    Attributes:
        name: after the deployment's prefix.
        section: of the runbook.
        says: what is wrong, in a sentence.
        readings: their values are added.
        threshold: raised at this value, or above.
        period_seconds: length of the period of each value.
        periods: consecutive values that must reach the threshold.
        few_samples: whether a percentile of few samples counts; a lone cold start is not significant.
    """

    name: str
    section: str
    says: str
    readings: tuple[Reading, ...]
    threshold: float
    period_seconds: int = 5 * MINUTE
    periods: int = 1
    few_samples: bool = True


BASIC = ("uploads-dead", "api-5xx")
"""The alarms for losses that users notice; `alarms.more` adds those that show where to look."""


def alarm_specs(config: Config, names: Names, api_id: str) -> list[AlarmSpec]:
    """The alarms of a deployment."""
    every = [*_queues(config, names), *_functions(names), *_api(config, api_id), *_work(config, names)]
    return every if config.alarms.more else [spec for spec in every if spec.name in BASIC]


def _queues(config: Config, names: Names) -> list[AlarmSpec]:
    def queue(name: str, metric: str) -> tuple[Reading, ...]:
        return (Reading("AWS/SQS", metric, {"QueueName": name}, "Maximum"),)

    visible, age = "ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"
    late = config.alarms.oldest_message_seconds
    return [
        AlarmSpec(
            "uploads-dead",
            "uploads-dead",
            "Uploads could not be ingested.",
            queue(names.uploads_dead, visible),
            1,
        ),
        AlarmSpec(
            "builds-dead",
            "builds-dead",
            "Builds failed in every attempt.",
            queue(names.builds_dead, visible),
            1,
        ),
        AlarmSpec(
            "uploads-age",
            "uploads-age",
            "Uploads wait too long.",
            queue(names.uploads, age),
            late,
        ),
        AlarmSpec(
            "builds-age",
            "builds-age",
            "Builds wait too long.",
            queue(names.builds, age),
            # A build may take as long as its function may; the next one of its collection waits for it.
            late + 2 * config.functions["builder"].timeout_seconds,
        ),
    ]


def _functions(names: Names) -> list[AlarmSpec]:
    def readings(metric: str, *functions: str) -> tuple[Reading, ...]:
        return tuple(
            Reading("AWS/Lambda", metric, {"FunctionName": f"{names.prefix}-{function}"})
            for function in functions
        )

    single = [
        AlarmSpec(
            f"{name}-errors",
            f"{name}-errors",
            f"The {name} function fails.",
            readings("Errors", name),
            # One error is retried by the queue; a query is not.
            threshold,
        )
        for name, threshold in (("query", 1), ("ingest", 3), ("builder", 2), ("reconcile", 1))
    ]
    return [
        *single,
        AlarmSpec(
            "pipeline-errors",
            "pipeline-errors",
            "A function of the training pipeline fails.",
            readings("Errors", *STEPS),
            3,
        ),
        AlarmSpec(
            "throttles",
            "throttles",
            "Functions are throttled by their concurrency limits.",
            readings("Throttles", *FUNCTIONS),
            10,
            periods=2,
        ),
    ]


def _api(config: Config, api_id: str) -> list[AlarmSpec]:
    def reading(metric: str, statistic: str) -> tuple[Reading, ...]:
        return (Reading("AWS/ApiGateway", metric, {"ApiId": api_id}, statistic),)

    return [
        AlarmSpec("api-5xx", "api-5xx", "The API returns server errors.", reading("5xx", "Sum"), 5),
        AlarmSpec(
            "api-latency",
            "api-latency",
            "The slowest twentieth of requests is too slow.",
            reading("Latency", "p95"),
            config.alarms.latency_ms,
            periods=3,
            few_samples=False,
        ),
    ]


def _work(config: Config, names: Names) -> list[AlarmSpec]:
    machine = {"StateMachineArn": names.machine_arn}
    failures = tuple(
        Reading("AWS/States", metric, machine) for metric in ("ExecutionsFailed", "ExecutionsTimedOut")
    )
    return [
        AlarmSpec("training-failures", "training-failures", "A training failed or timed out.", failures, 1),
        *(
            AlarmSpec(
                f"snapshot-age-{collection}",
                "snapshot-age",
                f"{collection} has changes that have waited too long for a snapshot.",
                (Reading(NAMESPACE, SNAPSHOT_AGE, {"collection": collection}, "Maximum"),),
                config.alarms.snapshot_age_seconds,
            )
            for collection in config.collections
        ),
    ]
