"""Ingest: messages about the images bucket → catalogue. Lambda calls `handler` with a batch of messages."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from lookalike.aws.build_queue import BuildQueue
from lookalike.aws.deadline import remaining_of
from lookalike.aws.ingest_worker import IngestWorker
from lookalike.aws.queue import messages_of
from lookalike.aws.redelivery import Redelivery
from lookalike.aws.settings import AwsSettings
from lookalike.aws.telemetry import Telemetry, ingest_metrics
from lookalike.ingest import IngestReport
from lookalike.library import Library
from lookalike.settings import Settings

if TYPE_CHECKING:
    from lookalike.snapshots.staleness import Staleness
    from lookalike.training_jobs.runner import TrainingRunner

telemetry = Telemetry()
redelivery = Redelivery()


@telemetry.instrumented
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Work through one batch; returns the messages that return to the queue."""
    remaining = remaining_of(context)
    failures = worker().work(messages_of(event), remaining)
    return redelivery.hasten(failures, remaining).answer()


@cache
def worker() -> IngestWorker:
    """The worker of this process."""
    aws = AwsSettings.from_env(os.environ)
    library = Library(Settings.from_env(os.environ), aws.cache)
    return IngestWorker(
        library,
        trainer=_trainer(aws, library),
        builds=BuildQueue(aws.build_queue_url) if aws.build_queue_url else None,
        on_ingest=_count,
        on_check=_report_age,
    )


def _trainer(aws: AwsSettings, library: Library) -> TrainingRunner:
    from lookalike.aws.training.state_machine import StateMachineTrainer
    from lookalike.training_jobs.runner import NoTrainingRunner

    if not aws.training_machine_arn:
        return NoTrainingRunner()
    return StateMachineTrainer(aws.training_machine_arn, library.images, library.artifacts)


def _count(collection: str, report: IngestReport) -> None:
    counts = ingest_metrics(report)
    telemetry.log.info("ingested", extra={"collection": collection, **counts})
    telemetry.count({name: value for name, value in counts.items() if value}, collection=collection)


def _report_age(state: Staleness) -> None:
    telemetry.count({"SnapshotAgeSeconds": state.behind_seconds()}, collection=state.config.name)
