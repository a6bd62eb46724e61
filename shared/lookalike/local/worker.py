"""The ingest worker: keys of changed objects in, catalogue and searchers up to date."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lookalike.errors import CollectionNotFound
from lookalike.ingest import Ingestor, IngestReport

logger = logging.getLogger(__name__)

BATCH_KEYS = 64
"""Small, so that an upload never waits for many others; large, so that a commit is shared."""
RETRY_SECONDS = (1.0, 5.0, 30.0, 120.0)


@dataclass(slots=True)
class _Pending:
    """What is to be looked at in one collection. Keys map to the number of attempts that failed."""

    keys: dict[str, int] = field(default_factory=dict)
    waiters: list[threading.Event] = field(default_factory=list)


class Worker:
    """One thread that ingests what it is told of, collection by collection, oldest first.

    Args:
        ingestor: does the work.
        ingested: called after each batch with the collection, before those who wait for it go on.
    """

    def __init__(self, ingestor: Ingestor, *, ingested: Callable[[str], None]) -> None:
        self._ingestor = ingestor
        self._ingested = ingested
        self._condition = threading.Condition()
        self._pending: dict[str, _Pending] = {}
        self._later: list[tuple[float, str, int]] = []
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self, timeout_seconds: float) -> None:
        """Finish the batch under way. What was not begun is found by the reconcile of the next start."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def objects_changed(self, keys: Sequence[str], *, wait_seconds: float = 0.0) -> None:
        """Look at `keys` of the images root soon; with `wait_seconds`, return when that is done."""
        done = threading.Event()
        collections = {key.partition("/")[0] for key in keys}
        self._add([(key, 0) for key in keys], [done] if wait_seconds and len(collections) == 1 else [])
        if wait_seconds:
            done.wait(wait_seconds)

    # The thread

    def _add(self, keys: Sequence[tuple[str, int]], waiters: list[threading.Event]) -> None:
        with self._condition:
            for key, attempts in keys:
                pending = self._pending.setdefault(key.partition("/")[0], _Pending())
                pending.keys[key] = attempts
                pending.waiters.extend(waiter for waiter in waiters if waiter not in pending.waiters)
            self._condition.notify()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            collection, pending = taken
            try:
                self._ingest(collection, pending)
            finally:
                for waiter in pending.waiters:
                    waiter.set()

    def _take(self) -> tuple[str, _Pending] | None:
        """The next batch; None at the end."""
        with self._condition:
            while not self._closing:
                now = time.monotonic()
                while self._later and self._later[0][0] <= now:
                    _, key, attempts = heapq.heappop(self._later)
                    pending = self._pending.setdefault(key.partition("/")[0], _Pending())
                    pending.keys.setdefault(key, attempts)
                if self._pending:
                    return self._take_batch()
                self._condition.wait(self._later[0][0] - now if self._later else None)
        return None

    def _take_batch(self) -> tuple[str, _Pending]:
        collection = next(iter(self._pending))
        pending = self._pending.pop(collection)
        keys = list(pending.keys.items())
        batch = _Pending(dict(keys[:BATCH_KEYS]))
        if len(keys) > BATCH_KEYS:
            # Back at the end of the line: other collections have their turn. Waiters wait for the last key.
            self._pending[collection] = _Pending(dict(keys[BATCH_KEYS:]), pending.waiters)
        else:
            batch.waiters = pending.waiters
        return collection, batch

    def _ingest(self, collection: str, pending: _Pending) -> None:
        try:
            report = self._ingestor.observe(collection, pending.keys)
        except CollectionNotFound:
            logger.debug("%s is no collection (any more)", collection)
            return
        except Exception:
            logger.warning("ingest into %s failed; trying again later", collection, exc_info=True)
            self._retry(pending, pending.keys)
            return
        _log(collection, report)
        self._retry(pending, {event.key for event, _ in report.failed})
        self._ingested(collection)

    def _retry(self, pending: _Pending, keys: Sequence[str] | set[str] | dict[str, int]) -> None:
        with self._condition:
            for key in keys:
                attempts = pending.keys[key]
                if attempts < len(RETRY_SECONDS):
                    due = time.monotonic() + RETRY_SECONDS[attempts]
                    heapq.heappush(self._later, (due, key, attempts + 1))
                else:
                    logger.error("%s cannot be ingested; the next reconcile tries again", key)


def _log(collection: str, report: IngestReport) -> None:
    if report.changed:
        logger.info(
            "%s: %d encoded, %d reused, %d removed, %d rejected, %d metadata rows",
            collection,
            report.encoded,
            report.reused,
            report.removed,
            report.rejected,
            report.metadata_rows,
        )
    for problem in report.metadata_problems:
        logger.warning("%s: %s row %d: %s", collection, problem.file, problem.row, problem.message)
    for event, error in report.failed:
        logger.warning("%s failed: %s", event.key, error)
