"""The ingest worker: keys of changed objects in, catalogue and searchers up to date."""

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
    """One thread that ingests what it is told of, collection by collection.

    What is urgent, because somebody waits for it, and what is not take turns: an upload comes after one other
    batch at most, and a folder of a million files still goes on beside a stream of uploads.

    Args:
        ingestor: does the work.
        ingested: called after each batch with the collection, before those who wait for it go on.
        unknown: called with a name that is no collection's, instead.
    """

    def __init__(
        self, ingestor: Ingestor, *, ingested: Callable[[str], None], unknown: Callable[[str], None]
    ) -> None:
        self._ingestor = ingestor
        self._ingested = ingested
        self._unknown = unknown
        self._condition = threading.Condition()
        self._urgent: dict[str, _Pending] = {}
        self._patient: dict[str, _Pending] = {}
        self._was_urgent = False
        self._later: list[tuple[float, str, int]] = []
        self._closing = False
        self._busy = threading.Lock()
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

    def notice(self, keys: Sequence[str]) -> None:
        """Look at `keys` of the images root some time."""
        self._add(self._patient, keys)

    def objects_changed(self, keys: Sequence[str], *, wait_seconds: float = 0.0) -> None:
        """Look at `keys` of one collection soon; with `wait_seconds`, return when that is done."""
        done = threading.Event()
        self._add(self._urgent, keys, done if wait_seconds else None)
        if wait_seconds:
            done.wait(wait_seconds)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Ingest nothing while the block runs, after the batch under way."""
        with self._busy:
            yield

    # The thread

    def _add(
        self, queue: dict[str, _Pending], keys: Sequence[str], waiter: threading.Event | None = None
    ) -> None:
        with self._condition:
            for key in keys:
                queue.setdefault(_collection_of(key), _Pending()).keys[key] = 0
            if waiter and keys:
                queue[_collection_of(keys[0])].waiters.append(waiter)
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
                    self._patient.setdefault(_collection_of(key), _Pending()).keys.setdefault(key, attempts)
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


def _collection_of(key: str) -> str:
    return key.partition("/")[0]


def _take_batch(queue: dict[str, _Pending]) -> tuple[str, _Pending]:
    """The first keys of the first collection; the rest of it goes to the end of the line."""
    collection = next(iter(queue))
    pending = queue.pop(collection)
    keys = list(pending.keys.items())
    if len(keys) <= BATCH_KEYS:
        return collection, pending
    # Who waits, waits for the last key.
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
        logger.warning("%s failed: %s", event.key, error)
