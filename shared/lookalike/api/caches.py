"""In-memory caches: the latest report of each collection, and thumbnails."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from lookalike.api.images import StoredImage
    from lookalike.search.loader import State

THUMBNAIL_BYTES = 48 * 1024 * 1024
T = TypeVar("T")
ThumbnailKey = tuple[str, str, int]


def version_of(state: State) -> tuple[object, ...]:
    """Changes whenever the contents of a collection change."""
    return state.etag, state.fingerprint, state.created_at


class ReportCache:
    """Keeps the latest result of each report and collection. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: dict[str, dict[str, tuple[Hashable, Any]]] = {}

    def get(self, collection: str, report: str, version: Hashable, compute: Callable[[], T]) -> T:
        """The result of a report, computed again if `version` differs from the last call's."""
        with self._lock:
            known = self._results.get(collection, {}).get(report)
        if known is not None and known[0] == version:
            found: T = known[1]
            return found
        result = compute()
        with self._lock:
            self._results.setdefault(collection, {})[report] = version, result
        return result

    def forget(self, collection: str) -> None:
        """Drop all results of a collection that was deleted."""
        with self._lock:
            self._results.pop(collection, None)


class ThumbnailCache:
    """Keeps the most recently used thumbnails, up to `max_bytes`. Safe to share between threads."""

    def __init__(self, max_bytes: int = THUMBNAIL_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._size_bytes = 0
        self._entries: OrderedDict[ThumbnailKey, tuple[str, StoredImage]] = OrderedDict()

    def get(self, key: ThumbnailKey) -> tuple[str, StoredImage] | None:
        """The ETag of the original and its thumbnail; None if it is not in the cache."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def put(self, key: ThumbnailKey, etag: str, thumbnail: StoredImage) -> None:
        """Store a thumbnail, and drop the least recently used ones if there are too many."""
        with self._lock:
            previous = self._entries.pop(key, None)
            self._size_bytes += len(thumbnail.data) - (len(previous[1].data) if previous else 0)
            self._entries[key] = (etag, thumbnail)
            while self._size_bytes > self._max_bytes:
                _, (_, oldest) = self._entries.popitem(last=False)
                self._size_bytes -= len(oldest.data)
