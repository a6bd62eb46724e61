"""Messages that request builds → snapshots."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lookalike.aws.build_queue import collection_of
from lookalike.aws.deadline import Remaining
from lookalike.aws.queue import Failures, Message
from lookalike.errors import CollectionNotFound, InvalidInput
from lookalike.snapshots import SnapshotManifest

if TYPE_CHECKING:
    from lookalike.library import Library
    from lookalike.snapshots.staleness import Staleness

logger = logging.getLogger(__name__)

SMALLEST_SECONDS = 20.0
"""No build starts with fewer seconds left than this."""


class BuildWorker:
    """Works through batches of messages that request builds.

    Args:
        library: the store.
        on_build: called with a collection's staleness, and the snapshot built; None: none was needed.
    """

    def __init__(
        self,
        library: Library,
        on_build: Callable[[Staleness, SnapshotManifest | None], None] = lambda _state, _manifest: None,
    ) -> None:
        self._library = library
        self._on_build = on_build

    def work(self, messages: Sequence[Message], remaining: Remaining) -> Failures:
        """Check each collection named in the messages, and build where needed. Never raises.

        All messages about one collection fail or succeed together, which keeps their order.
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
                failures.postpone(group)
                continue
            try:
                self._build_if_needed(collection)
            except Exception as error:  # one collection's failure must not stop the others
                logger.exception("%s: no snapshot could be built", collection)
                failures.add_all(group, error)
        return failures

    def _build_if_needed(self, collection: str) -> None:
        try:
            state = self._library.staleness(collection)
            built = self._library.build_snapshot(collection) if state.needs_build else None
        except CollectionNotFound:
            logger.info("%s was deleted in the meantime", collection)
        else:
            self._on_build(state, built)
