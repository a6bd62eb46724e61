"""Messages about the images bucket → catalogue, trainings, and requests for builds.

A message is done when everything it reports is in the catalogue, or is listed as a rejection, and when the
build that it requires was requested. Otherwise it returns to the queue. So after a kill at any point, the
message is delivered again and has the same result.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lookalike.aws.build_queue import BuildQueue
from lookalike.aws.deadline import OutOfTime, Remaining, within
from lookalike.aws.events import Change, NotificationReader
from lookalike.aws.queue import Failures, Message
from lookalike.errors import CollectionNotFound, EncoderNotFound, LookalikeError, TrainingNotFound
from lookalike.ingest import IngestReport
from lookalike.layout import is_ingested, key_problem, shown
from lookalike.training_jobs import Trainings, training_of
from lookalike.training_jobs.runner import TrainingRunner
from lookalike.types import ObjectEvent

if TYPE_CHECKING:
    from lookalike.library import Library
    from lookalike.snapshots.staleness import Staleness

logger = logging.getLogger(__name__)

SLICE_CHANGES = 64
"""Applied with one commit to each table. Between two slices there is time to return messages to the queue."""
MARGIN_SECONDS = 4.0
"""Reserved for returning messages and requesting builds."""


@dataclass(frozen=True, slots=True)
class _Task:
    """A change, and the message that reported it."""

    change: Change
    message: Message


class IngestWorker:
    """Works through batches of messages about the images bucket.

    Args:
        library: the store.
        trainer: starts trainings whose zip file was uploaded.
        builds: where builds are requested; None: nowhere.
        on_ingest: called after each slice with the collection and what was done.
        on_check: called after each batch with the staleness of each collection that changed.
    """

    def __init__(
        self,
        library: Library,
        *,
        trainer: TrainingRunner,
        builds: BuildQueue | None,
        on_ingest: Callable[[str, IngestReport], None] = lambda _name, _report: None,
        on_check: Callable[[Staleness], None] = lambda _state: None,
    ) -> None:
        self._library = library
        self._reader = NotificationReader(library.settings.images_url)
        self._trainer = trainer
        self._builds = builds
        self._on_ingest = on_ingest
        self._on_check = on_check

    def work(self, messages: Sequence[Message], remaining: Remaining) -> Failures:
        """Apply what the messages report. Nothing is raised for any of them.

        Args:
            messages: of one batch.
            remaining: seconds left. Messages that do not fit go back to the queue, if possible before they
                are started.
        """
        failures = Failures()
        tasks = list(self._tasks(messages, failures))
        touched: dict[str, list[Message]] = defaultdict(list)
        longest = 0.0
        for number, slice_ in enumerate(_slices(tasks)):
            left = remaining() - MARGIN_SECONDS
            if number and left < longest:
                failures.postpone(task.message for task in slice_)
                continue
            began = time.monotonic()
            try:
                done = within(left, lambda slice_=slice_: self._apply(slice_))  # type: ignore[misc]
            except OutOfTime as error:
                failures.add_all((task.message for task in slice_), error)
                continue
            longest = max(longest, time.monotonic() - began)
            for task in slice_:
                if task.change in done:
                    failures.add(task.message, done[task.change])
                else:
                    touched[task.change.collection].append(task.message)
        self._request_builds(touched, failures, remaining)
        return failures

    # Messages → tasks

    def _tasks(self, messages: Sequence[Message], failures: Failures) -> Iterator[_Task]:
        """The changes to ingest. Starts trainings whose zip file arrived."""
        for message in messages:
            notification = self._reader.read(message.body)
            if notification.problem:
                failures.add(message, notification.problem)
            for change in notification.changes:
                if found := training_of(change.key):
                    self._start_training(change, *found, message, failures)
                elif is_ingested(change.key):
                    yield _Task(change, message)
                elif problem := key_problem(change.key):
                    logger.warning("%s is skipped: %s", shown(change.key), problem)

    def _start_training(
        self, change: Change, collection: str, training_id: str, message: Message, failures: Failures
    ) -> None:
        if change.kind != "created":
            return
        try:
            training = Trainings(self._library.artifacts, collection).uploaded(training_id)
            if training.status == "queued":
                self._trainer.begin(collection, training_id)
            elif not training.is_active:
                self._library.images.delete(change.key)  # too late, or cancelled in the meantime
        except TrainingNotFound as error:
            logger.warning("%s is ignored: %s", change.key, error)
        except Exception as error:  # any failure concerns this message alone
            failures.add(message, error)

    # Tasks → catalogue

    def _apply(self, tasks: Sequence[_Task]) -> dict[Change, Exception]:
        """The changes that failed, with the reason."""
        failed: dict[Change, Exception] = {}
        groups: dict[str, dict[Change, ObjectEvent]] = defaultdict(dict)
        for change in dict.fromkeys(task.change for task in tasks):
            try:
                groups[change.collection][change] = self._event(change)
            except LookalikeError as error:
                failed[change] = error
        for collection, events in groups.items():
            report = self._library.ingestor.apply(list(events.values()))
            errors = dict(report.failed)
            failed |= {
                change: errors[event]
                for change, event in events.items()
                if event in errors and not self._is_over(change, errors[event])
            }
            self._on_ingest(collection, report)
        return failed

    def _is_over(self, change: Change, error: Exception) -> bool:
        """Whether the collection was deleted with its objects, so that there is nothing left to do."""
        try:
            return isinstance(error, CollectionNotFound) and not self._library.images.exists(change.key)
        except LookalikeError:  # the message is delivered again, and is checked then
            return False

    def _event(self, change: Change) -> ObjectEvent:
        kind = change.kind
        if kind == "version_removed":
            # Read the current object under this sequencer: if it changes again, a later event follows.
            kind = "created" if self._library.images.exists(change.key) else "removed"
        elif kind == "removed" and not change.key.isascii():
            # Another object may have the same id in another spelling (NFC, NFD); it becomes the item.
            other = self._library.images.find(change.key)
            if other is not None and other != change.key:
                return ObjectEvent(change.collection, other, "created", change.sequencer)
        return ObjectEvent(change.collection, change.key, kind, change.sequencer, change.version_id)

    # Catalogue → builds

    def _request_builds(
        self, touched: dict[str, list[Message]], failures: Failures, remaining: Remaining
    ) -> None:
        """This runs even if nothing changed: the process that made a change may have been killed before this
        step."""
        for collection, messages in touched.items():
            try:
                within(
                    max(MARGIN_SECONDS / 2, remaining() - MARGIN_SECONDS / 2),
                    lambda collection=collection: self._request_build(collection),  # type: ignore[misc]
                )
            except (CollectionNotFound, EncoderNotFound):
                continue  # deleted in the meantime
            except Exception as error:  # ingested items stay; the messages are delivered again
                failures.add_all(messages, error)

    def _request_build(self, collection: str) -> None:
        state = self._library.staleness(collection)
        if state.needs_build and self._builds:
            self._builds.request(state)
        self._on_check(state)


def _slices(tasks: Sequence[_Task]) -> Iterator[Sequence[_Task]]:
    for start in range(0, len(tasks), SLICE_CHANGES):
        yield tasks[start : start + SLICE_CHANGES]
