"""The daily repair of what events missed. EventBridge Scheduler calls `handler`."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from lookalike.aws.build_queue import BuildQueue
from lookalike.aws.deadline import remaining_of
from lookalike.aws.reconciliation import reconcile_collections
from lookalike.aws.settings import AwsSettings
from lookalike.aws.telemetry import Telemetry, ingest_metrics
from lookalike.errors import LookalikeError
from lookalike.ingest import IngestReport
from lookalike.library import Library
from lookalike.settings import Settings

telemetry = Telemetry()


@telemetry.instrumented
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Reconcile every collection.

    Raises:
        LookalikeError: some failed; Lambda tries again twice, and counts an error.
    """
    library, builds = parts()
    failed, later = reconcile_collections(library, builds, remaining_of(context), _report)
    telemetry.log.info("reconciled", extra={"failed": failed, "later": later})
    if failed:
        raise LookalikeError("collections could not be reconciled", got=", ".join(failed), fix="See the log.")
    return {"later": later}


@cache
def parts() -> tuple[Library, BuildQueue | None]:
    """The store and the queue of this process."""
    aws = AwsSettings.from_env(os.environ)
    library = Library(Settings.from_env(os.environ), aws.cache)
    return library, BuildQueue(aws.build_queue_url) if aws.build_queue_url else None


def _report(collection: str, report: IngestReport) -> None:
    telemetry.log.info("reconciled", extra={"collection": collection, **ingest_metrics(report)})
