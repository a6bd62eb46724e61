"""Daily repair: applies changes that events missed, and requests builds that are due without an upload."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from lookalike.aws.build_queue import BuildQueue
from lookalike.aws.deadline import Remaining
from lookalike.errors import CollectionNotFound
from lookalike.ingest import IngestReport

if TYPE_CHECKING:
    from lookalike.library import Library

logger = logging.getLogger(__name__)

SMALLEST_SECONDS = 60.0
"""No collection is begun with fewer seconds left than this."""


def reconcile_collections(
    library: Library,
    builds: BuildQueue | None,
    remaining: Remaining,
    on_report: Callable[[str, IngestReport], None] = lambda _name, _report: None,
    today: date | None = None,
) -> tuple[list[str], list[str]]:
    """Compare every collection with its images, repair it, and request a build if one is needed.

    Each day starts with another collection, so a later run handles those that one run had no time for. A run
    that is stopped in the middle of a collection keeps what it committed.

    Args:
        library: the store.
        builds: where builds are requested; None: nowhere.
        remaining: seconds until the function is stopped.
        on_report: called with each collection's report.
        today: decides which collection is the first.

    Returns:
        Names of the collections that failed, and of those that were not begun.
    """
    names = _rotated(library.collections.names(), today or date.today())
    failed: list[str] = []
    for number, name in enumerate(names):
        if number and remaining() < SMALLEST_SECONDS:
            return failed, names[number:]
        try:
            report = library.ingestor.reconcile(name)
            on_report(name, report)
            state = library.staleness(name)
            if state.needs_build and builds is not None:
                builds.request(state)
        except CollectionNotFound:
            logger.info("%s was deleted in the meantime", name)
        except Exception:  # one collection's failure must not stop the others
            logger.exception("%s could not be reconciled", name)
            failed.append(name)
        else:
            if report.failed:
                failed.append(name)
    return failed, []


def _rotated(names: Sequence[str], today: date) -> list[str]:
    """`names`, beginning with another one each day."""
    start = today.toordinal() % len(names) if names else 0
    return [*names[start:], *names[:start]]
