"""One small object per collection shows readers whether anything changed: `collections/<c>/changed`.

A writer replaces its random content after each change that a search or an access check can see: a commit to
the tables, a new pointer, another configuration, another API key. While its ETag stays the same, a reader
reads nothing else. So a search costs one conditional GET instead of a check of each part.

Only the order counts, so a plain write is enough: the writer changes the token after the change, and the
reader reads the token before the rest. A token that is missing (an older version made the collection) or a
writer that was killed in between delays a change by `FULL_LOOK_SECONDS` at most.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from lookalike.errors import LookalikeError, ObjectNotFound
from lookalike.layout import is_collection_name
from lookalike.storage import Store

logger = logging.getLogger(__name__)

FOLDER = "collections"
FULL_LOOK_SECONDS = 60.0
"""Readers check everything at least this often, even if the token is unchanged."""
TOKEN_BYTES = 16
MAX_KNOWN = 1_024


def token_path(collection: str) -> str:
    """Path of a collection's token in the artifacts store."""
    return f"{FOLDER}/{collection}/changed"


def mark_changed(artifacts: Store, collection: str) -> None:
    """Replace the token of a collection, after a change to it.

    Never raises, because the change itself was made: without a new token readers see it later.
    """
    try:
        artifacts.put(token_path(collection), secrets.token_hex(TOKEN_BYTES).encode())
    except LookalikeError as error:
        logger.warning(
            "%s: searches see the change late, because its token cannot be written: %s",
            collection,
            error,
        )


def mark_all_changed(artifacts: Store) -> None:
    """Replace the tokens of all collections, after a change that concerns each. Never raises."""
    try:
        names = artifacts.list_folders(FOLDER)
    except LookalikeError as error:
        logger.warning("searches see the change late, because collections cannot be listed: %s", error)
        return
    for name in names:
        if is_collection_name(name):
            mark_changed(artifacts, name)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A collection's token as a reader saw it.

    Attributes:
        token: its ETag; None: there was none.
        at: when it was read (`time.monotonic()`).
    """

    token: str | None
    at: float

    def is_unchanged(self, now: Sighting) -> bool:
        """Whether what was read after this sighting is still current at `now`, a later one."""
        is_same = self.token is not None and self.token == now.token
        return is_same and now.at - self.at < FULL_LOOK_SECONDS


@dataclass(slots=True)
class _Known:
    lock: threading.Lock = field(default_factory=threading.Lock)
    sighting: Sighting | None = None


class ChangeTokens:
    """The tokens of a store as this process knows them. Safe to share between threads."""

    def __init__(self, artifacts: Store) -> None:
        self._artifacts = artifacts
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def look(self, collection: str, *, max_age: float) -> Sighting:
        """The token of a collection, read again if it was read more than `max_age` seconds ago.

        Raises:
            StoreUnavailable: the store did not answer.
        """
        if not is_collection_name(collection):
            return Sighting(None, time.monotonic())
        with self._lock:
            known = self._known.setdefault(collection, _Known())
            self._known.move_to_end(collection)
            if len(self._known) > MAX_KNOWN:  # callers may try many names
                self._known.popitem(last=False)
        with known.lock:  # several readers that wait for the same answer cause one request
            last, now = known.sighting, time.monotonic()
            if last is None or now - last.at >= max_age:
                last = known.sighting = Sighting(self._read(collection, last), now)
            return last

    def _read(self, collection: str, last: Sighting | None) -> str | None:
        token = last.token if last else None
        try:
            blob = self._artifacts.get_if_changed(token_path(collection), token)
        except ObjectNotFound:
            return None
        return blob.etag if blob else token
