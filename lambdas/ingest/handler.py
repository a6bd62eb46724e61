"""Ingest: messages about the images bucket → catalogue. Lambda calls `handler` with a batch of them."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from lookalike.aws.build_queue import BuildQueue
from lookalike.aws.deadline import remaining_of
from lookalike.aws.events import NotificationReader
from lookalike.aws.ingest_worker import UploadParts, UploadWorker
from lookalike.aws.queue import messages_of
from lookalike.aws.settings import AwsSettings
from lookalike.aws.telemetry import Telemetry
from lookalike.collections import CollectionConfig
from lookalike.encoders import Encoder, Encoders
from lookalike.ingest import Ingestor, IngestReport
from lookalike.settings import Settings
from lookalike.snapshots.staleness import Building, Standing
from lookalike.storage import Store

if TYPE_CHECKING:
    from lookalike.training_jobs.trainer import Trainer

telemetry = Telemetry()


@telemetry.instrumented
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Work off one batch; returns which messages are to come again."""
    return worker().work(messages_of(event), remaining_of(context)).answer()


@cache
def worker() -> UploadWorker:
    """The worker of this process."""
    settings, aws = Settings.from_env(os.environ), AwsSettings.from_env(os.environ)
    images, artifacts = Store.images(settings), Store.artifacts(settings)
    encoders = Encoders(artifacts, aws.cache)
    loaded: dict[str, Encoder] = {}

    def encoder_for(config: CollectionConfig) -> Encoder:
        """One encoder a collection is held: the one that it lives by now."""
        if config.name not in loaded or loaded[config.name].manifest.id != config.encoder_id:
            loaded[config.name] = encoders.load(config.encoder_id)
        return loaded[config.name]

    return UploadWorker(
        UploadParts(
            images=images,
            artifacts=artifacts,
            reader=NotificationReader(settings.images_url),
            ingestor=Ingestor(images, artifacts, settings, encoder_for),
            trainer=_trainer(aws, images, artifacts),
            building=Building(settings),
            builds=BuildQueue(aws.build_queue_url) if aws.build_queue_url else None,
            ingested=_tell,
            stood=_tell_age,
        )
    )


def _trainer(aws: AwsSettings, images: Store, artifacts: Store) -> Trainer:
    from lookalike.aws.training.state_machine import StateMachineTrainer
    from lookalike.training_jobs.trainer import NoTrainer

    if not aws.training_machine_arn:
        return NoTrainer()
    return StateMachineTrainer(aws.training_machine_arn, images, artifacts)


def _tell(collection: str, report: IngestReport) -> None:
    counts = {
        "Encoded": report.encoded,
        "Reused": report.reused,
        "Removed": report.removed,
        "Rejected": report.rejected,
        "Unchanged": report.unchanged + report.missing + report.ignored,
        "MetadataRows": report.metadata_rows,
        "Failed": len(report.failed),
    }
    telemetry.log.info("ingested", extra={"collection": collection, **counts})
    telemetry.count({name: value for name, value in counts.items() if value}, collection=collection)


def _tell_age(standing: Standing) -> None:
    telemetry.count({"SnapshotAgeSeconds": standing.behind_seconds()}, collection=standing.config.name)
