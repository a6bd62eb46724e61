"""Messages about the images bucket → catalogue, trainings, and wishes for builds.

A message is done when all that it tells of is in the catalogue, or can be listed as a rejection, and when the
build that it makes necessary was asked for. Anything else gives it back. So whatever happens, and wherever
the process is killed, the message comes again and the same end is reached.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lookalike.api.trainer import Trainer
from lookalike.aws.build_queue import BuildQueue
from lookalike.aws.deadline import OutOfTime, Remaining, within
from lookalike.aws.events import Change, NotificationReader
from lookalike.aws.queue import Failures, Message
from lookalike.errors import CollectionNotFound, EncoderNotFound, LookalikeError, TrainingNotFound
from lookalike.ingest import Ingestor, IngestReport
from lookalike.layout import is_ingested, key_problem, shown
from lookalike.snapshots.staleness import Building, Standing
from lookalike.storage import Store
from lookalike.training_jobs import Trainings, training_of
from lookalike.types import ObjectEvent

logger = logging.getLogger(__name__)

SLICE_CHANGES = 64
"""Applied with one commit to each table. Between two slices there is time to give messages back."""
MARGIN_SECONDS = 4.0
"""Kept for giving messages back and asking for builds."""

Seen = Callable[[str, IngestReport], None]
Stood = Callable[[Standing], None]


@dataclass(frozen=True, slots=True)
class _Task:
    """A change, and the message that told of it."""

    change: Change
    message: Message


@dataclass(slots=True)
class UploadParts:
    """What the worker works with.

    Attributes:
        images: the images root.
        artifacts: the artifacts root.
        reader: of notifications.
        ingestor: changes catalogues.
        trainer: begins trainings whose zip file has come.
        building: knows which collection needs a build.
        builds: where builds are asked for; None: nowhere.
        ingested: told what each slice did, by collection.
        stood: told how the snapshot of each collection stands afterwards.
    """

    images: Store
    artifacts: Store
    reader: NotificationReader
    ingestor: Ingestor
    trainer: Trainer
    building: Building
    builds: BuildQueue | None
    ingested: Seen = field(default=lambda _name, _report: None)
    stood: Stood = field(default=lambda _standing: None)


class UploadWorker:
    """Works off batches of messages about the images bucket."""

    def __init__(self, parts: UploadParts) -> None:
        self._parts = parts

    def work(self, messages: Sequence[Message], remaining: Remaining) -> Failures:
        """Do what the messages ask for. Nothing is raised for any of them.

        Args:
            messages: of one batch.
            remaining: how much time there is. What does not fit is given back, if possible unbegun.
        """
        failures = Failures()
        tasks = list(self._tasks(messages, failures))
        touched: dict[str, list[Message]] = defaultdict(list)
        longest = 0.0
        for number, slice_ in enumerate(_slices(tasks)):
            left = remaining() - MARGIN_SECONDS
            if number and left < longest:
                failures.add_all((task.message for task in slice_), "there was no time left for it")
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
        self._ask_for_builds(touched, failures, remaining)
        return failures

    # Messages → tasks

    def _tasks(self, messages: Sequence[Message], failures: Failures) -> Iterator[_Task]:
        """What there is to ingest; trainings are begun on the way."""
        for message in messages:
            notification = self._parts.reader.read(message.body)
            if notification.problem:
                failures.add(message, notification.problem)
            for change in notification.changes:
                if found := training_of(change.key):
                    self._begin(change, *found, message, failures)
                elif is_ingested(change.key):
                    yield _Task(change, message)
                elif problem := key_problem(change.key):
                    logger.warning("%s is left out: %s", shown(change.key), problem)

    def _begin(
        self, change: Change, collection: str, training_id: str, message: Message, failures: Failures
    ) -> None:
        if change.kind != "created":
            return
        try:
            training = Trainings(self._parts.artifacts, collection).uploaded(training_id)
            if training.status == "queued":
                self._parts.trainer.begin(collection, training_id)
            elif not training.is_active:
                self._parts.images.delete(change.key)  # too late, or cancelled meanwhile
        except TrainingNotFound as error:
            logger.warning("%s is left alone: %s", change.key, error)
        except Exception as error:  # whatever it is, it is this message's alone
            failures.add(message, error)

    # Tasks → catalogue

    def _apply(self, tasks: Sequence[_Task]) -> dict[Change, Exception]:
        """What failed, and why."""
        failed: dict[Change, Exception] = {}
        groups: dict[str, dict[Change, ObjectEvent]] = defaultdict(dict)
        for change in dict.fromkeys(task.change for task in tasks):
            try:
                groups[change.collection][change] = self._event(change)
            except LookalikeError as error:
                failed[change] = error
        for collection, events in groups.items():
            report = self._parts.ingestor.apply(list(events.values()))
            errors = dict(report.failed)
            failed |= {
                change: errors[event]
                for change, event in events.items()
                if event in errors and not self._is_over(change, errors[event])
            }
            self._parts.ingested(collection, report)
        return failed

    def _is_over(self, change: Change, error: Exception) -> bool:
        """Whether the collection was deleted with its objects, so that nothing is left to be done."""
        try:
            return isinstance(error, CollectionNotFound) and not self._parts.images.exists(change.key)
        except LookalikeError:  # the message comes again, and it is looked at then
            return False

    def _event(self, change: Change) -> ObjectEvent:
        kind = change.kind
        if kind == "version_removed":
            # What is there now, under this sequencer: if it changes once more, a later event follows.
            kind = "created" if self._parts.images.exists(change.key) else "removed"
        elif kind == "removed" and not change.key.isascii():
            # The same id may have an object in another spelling (NFC, NFD), which then becomes the item.
            other = self._parts.images.find(change.key)
            if other is not None and other != change.key:
                return ObjectEvent(change.collection, other, "created", change.sequencer)
        return ObjectEvent(change.collection, change.key, kind, change.sequencer, change.version_id)

    # Catalogue → builds

    def _ask_for_builds(
        self, touched: dict[str, list[Message]], failures: Failures, remaining: Remaining
    ) -> None:
        """Also where nothing changed: the process that changed it may have been killed before it asked."""
        for collection, messages in touched.items():
            try:
                within(
                    max(MARGIN_SECONDS / 2, remaining() - MARGIN_SECONDS / 2),
                    lambda collection=collection: self._ask_for_build(collection),  # type: ignore[misc]
                )
            except (CollectionNotFound, EncoderNotFound):
                continue  # deleted meanwhile
            except Exception as error:  # what is ingested stays; the messages come again to ask
                failures.add_all(messages, error)

    def _ask_for_build(self, collection: str) -> None:
        standing = self._parts.building.standing(collection)
        if standing.needs_build and self._parts.builds:
            self._parts.builds.ask(standing)
        self._parts.stood(standing)


def _slices(tasks: Sequence[_Task]) -> Iterator[Sequence[_Task]]:
    for start in range(0, len(tasks), SLICE_CHANGES):
        yield tasks[start : start + SLICE_CHANGES]
