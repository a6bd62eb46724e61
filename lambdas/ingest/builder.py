"""Builds: messages that ask for them → snapshots. `handler` is what Lambda calls with a batch of them."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from lookalike.aws.build_worker import BuildWorker
from lookalike.aws.deadline import remaining_of
from lookalike.aws.queue import messages_of
from lookalike.aws.telemetry import Telemetry
from lookalike.settings import Settings
from lookalike.snapshots import SnapshotManifest
from lookalike.snapshots.staleness import Building, Standing

telemetry = Telemetry()


@telemetry.instrumented
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Work off one batch; returns which messages are to come again."""
    return worker().work(messages_of(event), remaining_of(context)).answer()


@cache
def worker() -> BuildWorker:
    """The worker of this process."""
    return BuildWorker(Building(Settings.from_env(os.environ)), _tell)


def _tell(standing: Standing, manifest: SnapshotManifest | None) -> None:
    name = standing.config.name
    if manifest is None:
        telemetry.log.info("no build is needed", extra={"collection": name})
        telemetry.count({"SnapshotAgeSeconds": standing.behind_seconds()}, collection=name)
        return
    telemetry.log.info(
        "a snapshot is published",
        extra={"collection": name, "snapshot": manifest.id, "items": manifest.count},
    )
    telemetry.count({"SnapshotAgeSeconds": 0.0, "Builds": 1.0}, collection=name)
