"""What the API does, without HTTP: one object over collections, searchers, pictures and uploads.

The local server and the query Lambda hold the same object; they differ in the `Follower`. On AWS the bucket
itself reports what changes in it; on one machine the follower is told at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lookalike.api.names import check_item_id, image_key, media_type, metadata_key
from lookalike.collections import CollectionConfig, Collections
from lookalike.errors import EncoderNotFound, ImageTooLarge, ItemNotFound, ObjectNotFound
from lookalike.storage import Store

if TYPE_CHECKING:
    from lookalike.catalogue import Catalogue
    from lookalike.duplicates import DuplicateGroup
    from lookalike.encoders import EncoderManifest, Encoders
    from lookalike.neighbors import Neighbors
    from lookalike.search import Query, Searcher, SearchResult
    from lookalike.settings import Settings
    from lookalike.snapshots import SnapshotManifest
    from lookalike.types import Item, Rejection

DELETE_WAIT_SECONDS = 5.0


class Follower(Protocol):
    """Hears of changes that this process made, where no bucket reports them."""

    def objects_changed(self, keys: Sequence[str], *, wait_seconds: float = 0.0) -> None:
        """Objects of the images root were written or removed; return once that is searched, or it took
        longer than `wait_seconds`."""

    def collection_changed(self, name: str) -> None:
        """A collection was created, or its configuration changed."""


class Silence:
    """The follower where events come from elsewhere."""

    def objects_changed(self, keys: Sequence[str], *, wait_seconds: float = 0.0) -> None:
        """Nothing to do."""

    def collection_changed(self, name: str) -> None:
        """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The bytes of an item's picture; `media_type` is None when no browser should show it."""

    data: bytes
    etag: str
    media_type: str | None


@dataclass(frozen=True, slots=True)
class NeighborsPage:
    """Some items with their neighbours, all from one state of the collection."""

    encoder: str
    snapshot: str | None
    entries: list[Neighbors]


@dataclass(frozen=True, slots=True)
class CollectionState:
    """A collection's configuration and the snapshot that serves it; None before the first."""

    config: CollectionConfig
    snapshot: SnapshotManifest | None


class Service:
    """Everything behind the HTTP API. Safe to share between threads."""

    def __init__(
        self, settings: Settings, encoders: Encoders, cache: Path, *, follower: Follower | None = None
    ) -> None:
        """`cache` is where files of an S3 store are kept; `follower` is told of changes made here."""
        self.settings = settings
        self.images = Store.images(settings)
        self.artifacts = Store.artifacts(settings)
        self.collections = Collections(self.artifacts)
        self.encoders = encoders
        self.follower: Follower = follower or Silence()
        self._cache = cache
        self._lock = threading.Lock()
        self._searchers: dict[str, tuple[CollectionConfig, Searcher]] = {}
        self._checked_at: dict[str, float] = {}
        self._duplicates: dict[str, tuple[tuple[object, ...], list[DuplicateGroup]]] = {}

    # Collections

    def states(self) -> list[CollectionState]:
        """Every collection, by name."""
        return [self.state(name) for name in self.collections.names()]

    def state(self, name: str) -> CollectionState:
        """One collection. Raises CollectionNotFound."""
        from lookalike.snapshots import current

        return CollectionState(self.collections.get(name), current(self.artifacts, name))

    def put_collection(self, name: str, changes: dict[str, Any]) -> tuple[CollectionState, bool]:
        """Create the collection `name`, or change it. Returns its state, and whether it is new.

        Args:
            name: see `CollectionConfig`.
            changes: fields of `CollectionConfig`; `encoder_id` may be an encoder's name.

        Raises:
            EncoderNotFound: there is no such encoder, or none at all.
            UnsupportedMetric: the engine does not compute the metric.
        """
        from lookalike.indexes import check_metric

        if "encoder_id" in changes:
            changes = changes | {"encoder_id": self.encoders.get(changes["encoder_id"]).id}
        created = name not in self.collections.names()
        if created:
            config = CollectionConfig(name, **({"encoder_id": self._newest_encoder().id} | changes))
            check_metric(config.engine, config.metric)
            self.collections.create(config)
        elif changes:
            known = self.collections.get(name)
            check_metric(changes.get("engine", known.engine), changes.get("metric", known.metric))
            self.collections.update(name, **changes)
        self.follower.collection_changed(name)
        return self.state(name), created

    def delete_collection(self, name: str) -> None:
        """Remove a collection: its pictures, its metadata and all that was made of them."""
        self.collections.get(name)
        # Pictures first: if this is cut short, the collection is still there to be deleted again.
        self.images.delete_folder(name)
        self.collections.delete(name)
        with self._lock:
            self._searchers.pop(name, None)
            self._duplicates.pop(name, None)

    def _newest_encoder(self) -> EncoderManifest:
        found = sorted(self.encoders.list(), key=lambda manifest: (manifest.created_at, manifest.id))
        if not found:
            raise EncoderNotFound(
                "the store holds no encoder yet", fix="Make one with `lookalike encoders build`."
            )
        return found[-1]

    # Searching

    def searcher(self, name: str) -> Searcher:
        """The collection's searcher, made when it is first needed. Raises CollectionNotFound."""
        from lookalike.search import Searcher

        with self._lock:
            found = self._searchers.get(name)
            fresh = time.monotonic() - self._checked_at.get(name, 0.0) < self.settings.refresh_seconds
        if found and fresh:
            return found[1]
        config = self.collections.get(name)
        with self._lock:
            found = self._searchers.get(name)
            # Deleted and made again under the same name is another collection.
            if found is None or found[0].created_at != config.created_at:
                found = (
                    config,
                    Searcher(self.artifacts, name, self.settings, self.encoders, self._cache),
                )
                self._searchers[name] = found
            self._checked_at[name] = time.monotonic()
        return found[1]

    def search(self, name: str, query: Query) -> SearchResult:
        """Answer a query. Raises what `Searcher.search` raises."""
        return self.searcher(name).search(query)

    # Items

    def item(self, name: str, item_id: str) -> Item:
        """One item. Raises ItemNotFound with the nearest ids."""
        return self.searcher(name).item(check_item_id(item_id))

    def delete_item(self, name: str, item_id: str) -> None:
        """Remove an item's picture and what its upload said of it. Raises ItemNotFound."""
        self.collections.get(name)
        key = image_key(name, check_item_id(item_id))
        keys = [key, metadata_key(name, item_id)]
        if not self._is_there(key):
            raise ItemNotFound("no such item", got=repr(item_id))
        for each in keys:
            self.images.delete(each)
        self.follower.objects_changed(keys, wait_seconds=DELETE_WAIT_SECONDS)

    def picture(self, name: str, item_id: str) -> Picture:
        """An item's picture, from a folder store.

        Raises:
            ItemNotFound: there is none.
            ImageTooLarge: it is too large to be an item.
        """
        self.collections.get(name)
        key = image_key(name, check_item_id(item_id))
        if not self._is_there(key):
            raise ItemNotFound("no such picture", got=repr(item_id))
        limit = self.settings.max_image_bytes
        blob = self.images.get_limited(key, limit)
        if blob is None:
            raise ImageTooLarge("too_many_bytes", "the picture is too large", expected=f"at most {limit}")
        return Picture(blob.data, blob.etag, media_type(blob.data[:16]))

    def picture_url(self, name: str, item_id: str) -> str:
        """A URL that gives an item's picture to anyone for a while. For a store that can sign."""
        self.collections.get(name)
        key = image_key(name, check_item_id(item_id))
        return self.images.sign("GET", key, self.settings.url_seconds)

    def _is_there(self, key: str) -> bool:
        try:
            local = self.images.local_path(key)
            if local is not None:
                root = self.images.local_path("")
                # A listing follows no linked folder; neither may a name lead out through one.
                if root is None or not local.parent.resolve().is_relative_to(root.resolve()):
                    return False
                return local.is_file()
            self.images.head(key)
        except (ObjectNotFound, OSError):
            return False
        return True

    # Reports

    def catalogue(self, name: str) -> Catalogue:
        """The tables of record of a collection."""
        from lookalike.catalogue import Catalogue

        config = self.collections.get(name)
        dimension = self.encoders.get(config.encoder_id).dimension
        return Catalogue(self.artifacts, name, config.encoder_id, dimension)

    def rejections(self, name: str, offset: int, limit: int) -> list[Rejection]:
        """Objects that can never become items, and why."""
        return self.catalogue(name).rejections(offset, limit)

    def neighbors(self, name: str, k: int, offset: int, limit: int) -> NeighborsPage:
        """Items `offset` to `offset + limit` in a fixed order, each with its `k` nearest others."""
        from lookalike.neighbors import iter_neighbors

        state = self.searcher(name).state()
        entries = list(iter_neighbors(state, k, offset=offset, limit=limit))
        return NeighborsPage(
            state.encoder.id, state.snapshot.manifest.id if state.snapshot else None, entries
        )

    def duplicates(self, name: str, min_score: float, max_hash_distance: int) -> list[DuplicateGroup]:
        """Groups of duplicates, the largest first; the last answer of each collection is kept."""
        from lookalike.duplicates import find_duplicates

        state = self.searcher(name).state()
        question = (state.etag, state.fingerprint, min_score, max_hash_distance)
        known = self._duplicates.get(name)
        if known is None or known[0] != question:
            groups = find_duplicates(state.view, min_score=min_score, max_hash_distance=max_hash_distance)
            known = self._duplicates[name] = question, groups
        return known[1]
