"""Builds: messages that request them → snapshots. Lambda calls `handler` with a batch of messages."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from lookalike.aws.build_worker import BuildWorker
from lookalike.aws.deadline import remaining_of
from lookalike.aws.queue import messages_of
from lookalike.aws.redelivery import Redelivery
from lookalike.aws.settings import AwsSettings
from lookalike.aws.telemetry import Telemetry
from lookalike.library import Library
from lookalike.settings import Settings
from lookalike.snapshots import SnapshotManifest
from lookalike.snapshots.staleness import Staleness

telemetry = Telemetry()
redelivery = Redelivery()


@telemetry.instrumented
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Work through one batch; returns the messages that return to the queue."""
    messages, remaining = messages_of(event), remaining_of(context)
    with redelivery.kept(messages):
        failures = worker().work(messages, remaining)
    return redelivery.hasten(failures, remaining).answer()


@cache
def worker() -> BuildWorker:
    """The worker of this process."""
    library = Library(Settings.from_env(os.environ), AwsSettings.from_env(os.environ).cache)
    return BuildWorker(library, _report)


def _report(state: Staleness, built: SnapshotManifest | None) -> None:
    name = state.config.name
    if built is None:
        telemetry.log.info("no build is needed", extra={"collection": name})
        telemetry.count({"SnapshotAgeSeconds": state.behind_seconds()}, collection=name)
        return
    telemetry.log.info(
        "a snapshot is published",
        extra={"collection": name, "snapshot": built.id, "items": built.count, "reason": state.reason},
    )
    telemetry.count({"SnapshotAgeSeconds": 0.0, "Builds": 1.0}, collection=name)
