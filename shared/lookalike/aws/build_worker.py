"""Messages that ask for builds → snapshots."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence

from lookalike.aws.build_queue import collection_of
from lookalike.aws.deadline import Remaining
from lookalike.aws.queue import Failures, Message
from lookalike.errors import CollectionNotFound, InvalidInput
from lookalike.snapshots import SnapshotManifest
from lookalike.snapshots.staleness import Building, Standing

logger = logging.getLogger(__name__)

SMALLEST_SECONDS = 20.0
"""A build is not begun with less time than this."""

Built = Callable[[Standing, SnapshotManifest | None], None]


class BuildWorker:
    """Works off batches of messages that ask for builds.

    Args:
        building: makes the snapshots.
        built: told how a collection stood, and the snapshot that was made; None: it needed none.
    """

    def __init__(self, building: Building, built: Built = lambda _standing, _manifest: None) -> None:
        self._building = building
        self._built = built

    def work(self, messages: Sequence[Message], remaining: Remaining) -> Failures:
        """Look at each collection that is named, and build what is needed. Nothing is raised for any.

        All messages about one collection fail or succeed together, so that their order stays.
        """
        failures = Failures()
        groups: dict[str, list[Message]] = defaultdict(list)
        for message in messages:
            try:
                groups[collection_of(message.body)].append(message)
            except InvalidInput as error:
                failures.add(message, error)
        for number, (collection, group) in enumerate(groups.items()):
            if number and remaining() < SMALLEST_SECONDS:
                failures.add_all(group, "there was no time left for it")
                continue
            try:
                self._look_after(collection)
            except Exception as error:  # one collection's trouble must not end the work for the others
                logger.exception("%s: no snapshot could be built", collection)
                failures.add_all(group, error)
        return failures

    def _look_after(self, collection: str) -> None:
        try:
            standing = self._building.standing(collection)
            self._built(standing, self._building.build(standing) if standing.needs_build else None)
        except CollectionNotFound:
            logger.info("%s was deleted meanwhile", collection)
