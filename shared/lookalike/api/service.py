"""What the API does, without HTTP: one object over collections, searchers, pictures and uploads.

The local server and the query Lambda hold the same object; they differ in the `Follower`. On AWS the bucket
itself reports what changes in it; on one machine the follower is told at once.
"""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.api.follower import Follower, Silence
from lookalike.api.names import (
    MAX_KEY_BYTES,
    check_item_id,
    image_key,
    media_type,
    metadata_key,
)
from lookalike.api.trainer import NoTrainer, Trainer
from lookalike.api.values import CollectionState, NeighborsPage, Picture
from lookalike.collections import CollectionConfig, Collections
from lookalike.errors import (
    CollectionNotFound,
    EncoderNotFound,
    ImageTooLarge,
    Incompatible,
    ItemNotFound,
    NotReady,
    ObjectNotFound,
    SnapshotNotFound,
)
from lookalike.storage import Store

if TYPE_CHECKING:
    from lookalike.catalogue import Catalogue
    from lookalike.duplicates import DuplicateGroup
    from lookalike.encoders import EncoderManifest, Encoders
    from lookalike.search import Query, Searcher, SearchResult
    from lookalike.settings import Settings
    from lookalike.types import Item, Rejection

DELETE_WAIT_SECONDS = 5.0
DEFAULT_NAME = "efficientnet-lite0"


class Service:
    """Everything behind the HTTP API. Safe to share between threads."""

    def __init__(
        self,
        settings: Settings,
        encoders: Encoders,
        cache: Path,
        *,
        follower: Follower | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        """`cache`: for files of an S3 store; `follower` hears of changes; `trainer` carries out trainings."""
        self.settings = settings
        self.images = Store.images(settings)
        self.artifacts = Store.artifacts(settings)
        self.collections = Collections(self.artifacts)
        self.encoders = encoders
        self.follower: Follower = follower or Silence()
        self.trainer: Trainer = trainer or NoTrainer()
        self.cache = cache
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

        config = self.collections.get(name)
        try:
            return CollectionState(config, current(self.artifacts, name))
        except (SnapshotNotFound, Incompatible):
            # Its files are gone or of another version. That is the searcher's to say; this must go on.
            return CollectionState(config, None)

    def put_collection(self, name: str, changes: dict[str, Any]) -> tuple[CollectionState, bool]:
        """Create the collection `name`, or change it. Returns its state, and whether it is new.

        Args:
            name: see `CollectionConfig`.
            changes: fields of `CollectionConfig`; `encoder_id` may be an encoder's name.

        Raises:
            EncoderNotFound: there is no such encoder, or none at all.
            UnsupportedMetric, InvalidInput: the engine does not compute the metric, or has no such option.
        """
        if "encoder_id" in changes:
            changes = changes | {"encoder_id": self.encoders.get(changes["encoder_id"]).id}
        try:
            known = self.collections.get(name)
        except CollectionNotFound:
            known = None
        if known is None:
            encoder_id = changes.get("encoder_id") or self._default_encoder().id
            config = CollectionConfig(name, **(changes | {"encoder_id": encoder_id}))
            _check(config)
            self.collections.create(config)
        elif changes:
            if changes.get("engine", known.engine) != known.engine:
                # They were chosen for another engine.
                changes = {"n_trees": None, "search_k": None} | changes
            _check(replace(known, **changes))
            self.collections.update(name, **changes)
        self.follower.collection_changed(name)
        return self.state(name), known is None

    def delete_collection(self, name: str) -> None:
        """Remove a collection: its pictures, its metadata and all that was made of them."""
        self.collections.get(name)
        with self.follower.quiet(name):
            # Pictures first: if this is cut short, the collection is still there to be deleted again.
            folder = self.images.local_path(name)
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            self.images.delete_folder(name)
            self.collections.delete(name)
        with self._lock:
            self._searchers.pop(name, None)
            self._duplicates.pop(name, None)

    def _default_encoder(self) -> EncoderManifest:
        """The newest encoder of the default backbone, else the newest."""
        found = self.encoders.list()
        if not found:
            raise EncoderNotFound(
                "the store holds no encoder yet", fix="Make one with `lookalike encoders build`."
            )
        return max(
            found, key=lambda manifest: (manifest.name == DEFAULT_NAME, manifest.created_at, manifest.id)
        )

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
                    Searcher(self.artifacts, name, self.settings, self.encoders, self.cache),
                )
                self._searchers[name] = found
            self._checked_at[name] = time.monotonic()
        return found[1]

    def settle(self, seconds: float) -> None:
        """Wait until no searcher looks for news any more, for `seconds` at most; see `Searcher.settle`."""
        deadline = time.monotonic() + seconds
        with self._lock:
            searchers = [searcher for _, searcher in self._searchers.values()]
        for searcher in searchers:
            searcher.settle(max(0.0, deadline - time.monotonic()))

    def search(self, name: str, query: Query) -> SearchResult:
        """Answer a query. Raises what `Searcher.search` raises."""
        return self.searcher(name).search(query)

    # Items

    def item(self, name: str, item_id: str) -> Item:
        """One item. Raises ItemNotFound with the nearest ids."""
        try:
            return self.searcher(name).item(self._checked(item_id))
        except NotReady as error:
            raise ItemNotFound("no such item; the collection is empty", got=repr(item_id)) from error

    def delete_item(self, name: str, item_id: str) -> None:
        """Remove an item's picture and what its upload said of it. Raises ItemNotFound."""
        self.collections.get(name)
        key = image_key(name, self._checked(item_id))
        if not self._is_there(key):
            raise ItemNotFound("no such item", got=repr(item_id))
        keys = [key, metadata_key(name, item_id)]
        for each in keys:
            if len(each.encode()) > MAX_KEY_BYTES:
                continue  # there is no such object
            self.images.delete(each)
        self.follower.objects_changed(keys, wait_seconds=DELETE_WAIT_SECONDS)

    def picture(self, name: str, item_id: str) -> Picture:
        """An item's picture, from a folder store.

        Raises:
            ItemNotFound: there is none.
            ImageTooLarge: it is too large to be an item.
        """
        self.collections.get(name)
        key = image_key(name, self._checked(item_id))
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
        key = image_key(name, self._checked(item_id))
        return self.images.sign("GET", key, self.settings.url_seconds)

    def _checked(self, item_id: str) -> str:
        return check_item_id(item_id)

    def _is_there(self, key: str) -> bool:
        try:
            found = self.images.find(key)
            local = self.images.local_path(found) if found else None
            if local is not None:
                root = self.images.local_path("")
                # A listing follows no linked folder; neither may a name lead out through one.
                if root is None or not local.parent.resolve().is_relative_to(root.resolve()):
                    return False
                return local.is_file()
            return found is not None
        except (ObjectNotFound, OSError):
            return False

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

        try:
            state = self.searcher(name).state()
        except NotReady:
            return NeighborsPage(self.collections.get(name).encoder_id, None, [])
        entries = list(iter_neighbors(state, k, offset=offset, limit=limit))
        return NeighborsPage(
            state.encoder.id, state.snapshot.manifest.id if state.snapshot else None, entries
        )

    def duplicates(self, name: str, min_score: float, max_hash_distance: int) -> list[DuplicateGroup]:
        """Groups of duplicates, the largest first; the last answer of each collection is kept."""
        from lookalike.duplicates import find_duplicates

        try:
            state = self.searcher(name).state()
        except NotReady:
            return []
        question = (state.etag, state.fingerprint, min_score, max_hash_distance)
        known = self._duplicates.get(name)
        if known is None or known[0] != question:
            groups = find_duplicates(state.view, min_score=min_score, max_hash_distance=max_hash_distance)
            known = self._duplicates[name] = question, groups
        return known[1]


def _check(config: CollectionConfig) -> None:
    from lookalike.indexes import check_options

    check_options(config.engine, config.metric, config.n_trees, config.search_k)
