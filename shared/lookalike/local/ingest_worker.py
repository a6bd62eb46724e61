"""The ingest worker: takes keys of changed objects and updates the catalogue."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from lookalike.errors import CollectionNotFound
from lookalike.ingest import Ingestor, IngestReport
from lookalike.layout import collection_of, shown
from lookalike.local.worker_thread import WorkerThread

logger = logging.getLogger(__name__)

BATCH_KEYS = 64
"""Small enough that an upload does not wait for many others, large enough that commits are shared."""
RETRY_SECONDS = (1.0, 5.0, 30.0, 120.0)


@dataclass(slots=True)
class _Pending:
    """Keys to ingest in one collection, each with the number of failed attempts."""

    keys: dict[str, int] = field(default_factory=dict)
    waiters: list[threading.Event] = field(default_factory=list)


class IngestWorker(WorkerThread):
    """One thread that ingests changed objects, collection by collection.

    Urgent keys, for which a caller waits, take turns with the others: an upload waits for one other batch at
    most, and a folder of a million files still proceeds during a stream of uploads. The reconcile of the next
    start finds the rest.

    Args:
        ingestor: does the work.
        ingested: called after each batch with the collection, before waiting callers return.
        unknown: called instead with the name, if no collection has it.
    """

    def __init__(
        self, ingestor: Ingestor, *, ingested: Callable[[str], None], unknown: Callable[[str], None]
    ) -> None:
        super().__init__("ingest")
        self._ingestor = ingestor
        self._ingested = ingested
        self._unknown = unknown
        self._urgent: dict[str, _Pending] = {}
        self._patient: dict[str, _Pending] = {}
        self._was_urgent = False
        self._later: list[tuple[float, str, int]] = []
        self._busy = threading.Lock()

    def notice(self, keys: Sequence[str]) -> None:
        """Ingest `keys` of the images root, with low priority."""
        self._add(self._patient, keys)

    def objects_changed(self, keys: Sequence[str], *, wait_seconds: float = 0.0) -> None:
        """Ingest `keys` of one collection soon; with `wait_seconds`, return when that is done."""
        done = threading.Event()
        self._add(self._urgent, keys, done if wait_seconds else None)
        if wait_seconds:
            done.wait(wait_seconds)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Wait for the current batch, then ingest nothing while the block runs."""
        with self._busy:
            yield

    # The thread

    def _add(
        self, queue: dict[str, _Pending], keys: Sequence[str], waiter: threading.Event | None = None
    ) -> None:
        with self._condition:
            for key in keys:
                queue.setdefault(collection_of(key), _Pending()).keys[key] = 0
            if waiter and keys:
                queue[collection_of(keys[0])].waiters.append(waiter)
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
                    self._patient.setdefault(collection_of(key), _Pending()).keys.setdefault(key, attempts)
                if self._urgent or self._patient:
                    self._was_urgent = bool(self._urgent) and not (self._was_urgent and self._patient)
                    return _take_batch(self._urgent if self._was_urgent else self._patient)
                self._condition.wait(self._later[0][0] - now if self._later else None)
        return None

    def _ingest(self, collection: str, pending: _Pending) -> None:
        try:
            with self._busy:
                report = self._ingestor.observe(collection, pending.keys)
        except CollectionNotFound:
            self._unknown(collection)
            return
        except Exception:
            logger.warning("ingest into %s failed; it will be retried", collection, exc_info=True)
            self._retry(pending, pending.keys)
            return
        _log(collection, report)
        self._retry(pending, {event.key for event, _ in report.failed})
        self._ingested(collection)

    def _retry(self, pending: _Pending, keys: Sequence[str] | set[str] | dict[str, int]) -> None:
        with self._condition:
            for key in keys:
                # An event may have the key as it is stored, in another spelling.
                attempts = pending.keys.get(key, max(pending.keys.values(), default=0))
                if attempts < len(RETRY_SECONDS):
                    due = time.monotonic() + RETRY_SECONDS[attempts]
                    heapq.heappush(self._later, (due, key, attempts + 1))
                else:
                    logger.error("cannot ingest %s; the next reconcile will retry it", shown(key))


def _take_batch(queue: dict[str, _Pending]) -> tuple[str, _Pending]:
    """The first keys of the first collection; its other keys go to the end of the queue."""
    collection = next(iter(queue))
    pending = queue.pop(collection)
    keys = list(pending.keys.items())
    if len(keys) <= BATCH_KEYS:
        return collection, pending
    # A waiting caller waits for the last key.
    queue[collection] = _Pending(dict(keys[BATCH_KEYS:]), pending.waiters)
    return collection, _Pending(dict(keys[:BATCH_KEYS]))


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
        logger.warning("ingest of %s failed: %s", shown(event.key), error)
