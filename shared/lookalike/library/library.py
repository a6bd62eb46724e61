"""`Library`: one object over a store. The command line, the API, the servers and AWS are thin layers over it.

```
library = lookalike.open("store")
library.collection("shop").search("query.jpg", k=5)
```
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.settings import Settings, cache_folder
from lookalike.storage import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lookalike.catalogue import Catalogue
    from lookalike.change_token import ChangeTokens, Sighting
    from lookalike.collection_config import CollectionConfig, Collections
    from lookalike.encoders import Encoder, EncoderManifest, Encoders
    from lookalike.ingest import Ingestor
    from lookalike.library.collection import Collection
    from lookalike.search import Searcher
    from lookalike.snapshots import SnapshotManifest
    from lookalike.snapshots.staleness import Staleness
    from lookalike.trash import Trash


class Library:
    """A store: its two roots, its collections and encoders, and the operations on them.

    Each part is made when it is first used. Safe to share between threads.

    Args:
        settings: names the store, with limits and thread counts.
        cache: folder for what can be made again: files of an S3 store, builds in progress, image features.
    """

    def __init__(self, settings: Settings, cache: Path) -> None:
        self.settings = settings
        self.cache = cache
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._encoders_in_use: dict[str, Encoder] = {}
        self._searchers: dict[str, tuple[CollectionConfig, Searcher]] = {}
        self._sightings: dict[str, Sighting] = {}

    @classmethod
    def open(cls, url: str | None = None, *, cache: Path | None = None) -> Library:
        """The library over a store.

        Args:
            url: a folder, or `s3://bucket/prefix`; None: what `LOOKALIKE_STORE` names. The other options
                come from the environment too, see `Settings`.
            cache: see above; None: the user's cache folder.

        Raises:
            SettingsError: an environment variable cannot be read.
        """
        settings = Settings.from_env(os.environ, store=url)
        return cls(settings, cache or cache_folder(os.environ))

    @cached_property
    def images(self) -> Store:
        """The images root: what users upload."""
        return Store.images(self.settings)

    @cached_property
    def artifacts(self) -> Store:
        """The artifacts root: what the system writes."""
        return Store.artifacts(self.settings)

    @cached_property
    def collections(self) -> Collections:
        """The collections' configurations."""
        from lookalike.collection_config import Collections

        return Collections(self.artifacts)

    @cached_property
    def tokens(self) -> ChangeTokens:
        """Show whether anything changed in a collection."""
        from lookalike.change_token import ChangeTokens

        return ChangeTokens(self.artifacts)

    @cached_property
    def encoders(self) -> Encoders:
        """The registry of encoders."""
        from lookalike.encoders import Encoders

        return Encoders(self.artifacts, self.cache)

    @cached_property
    def ingestor(self) -> Ingestor:
        """Applies changes of the images root to the catalogues."""
        from lookalike.ingest import Ingestor

        return Ingestor(self.images, self.artifacts, self.settings, self.encoder_of)

    def encoder_of(self, config: CollectionConfig) -> Encoder:
        """The encoder of a collection, ready to run. Raises EncoderNotFound.

        One encoder per collection stays loaded: the one that the collection used last.
        """
        with self._loading:
            encoder = self._encoders_in_use.get(config.name)
            if encoder is None or encoder.manifest.id != config.encoder_id:
                encoder = self._encoders_in_use[config.name] = self.encoders.load(config.encoder_id)
            return encoder

    def catalogue(self, collection: str | CollectionConfig, encoder_id: str | None = None) -> Catalogue:
        """The catalogue of a collection, with the vectors of one encoder.

        Args:
            collection: its name, or its configuration where the caller has read it.
            encoder_id: id or name of an encoder; None: the collection's own.

        Raises:
            CollectionNotFound, EncoderNotFound: it does not exist.
        """
        from lookalike.catalogue import Catalogue

        if encoder_id is None:
            config = self.collections.get(collection) if isinstance(collection, str) else collection
            encoder_id = config.encoder_id
        name = collection if isinstance(collection, str) else collection.name
        manifest = self.encoders.get(encoder_id)
        return Catalogue(self.artifacts, name, manifest.id, manifest.dimension)

    def searcher(self, collection: str) -> Searcher:
        """The searcher of a collection, made when it is first needed. Raises CollectionNotFound."""
        from lookalike.search import Searcher

        with self._lock:
            found = self._searchers.get(collection)
            before = self._sightings.get(collection)
        now = self.tokens.look(collection, max_age=self.settings.refresh_seconds)
        if found and before and before.is_unchanged(now):
            return found[1]
        config = self.collections.get(collection)
        with self._lock:
            found = self._searchers.get(collection)
            # Deleted and created again under the same name is another collection.
            if found is None or found[0].created_at != config.created_at:
                searcher = Searcher(
                    self.artifacts, collection, self.settings, self.encoders, self.cache, self.tokens
                )
                found = self._searchers[collection] = config, searcher
            self._sightings[collection] = now
        return found[1]

    def settle(self, seconds: float) -> None:
        """Wait until no searcher is refreshing, for `seconds` at most; see `Searcher.settle`."""
        deadline = time.monotonic() + seconds
        with self._lock:
            searchers = [searcher for _, searcher in self._searchers.values()]
        for searcher in searchers:
            searcher.settle(max(0.0, deadline - time.monotonic()))

    def forget(self, collection: str) -> None:
        """Free the memory that a deleted collection uses."""
        with self._lock:
            self._searchers.pop(collection, None)
            self._sightings.pop(collection, None)
            self._encoders_in_use.pop(collection, None)

    # Collections

    def trash(self, collection: str) -> Trash:
        """The trash of a collection."""
        from lookalike.trash import Trash

        return Trash(self.images, self.artifacts, collection)

    def collection(self, name: str) -> Collection:
        """One collection, to search, change, train and evaluate. Raises CollectionNotFound."""
        from lookalike.library.collection import Collection

        self.collections.get(name)
        return Collection(self, name)

    def create_collection(
        self,
        name: str,
        *,
        encoder: str | None = None,
        images: Sequence[Path] = (),
        progress: Callable[[str], None] | None = None,
        **options: Any,
    ) -> Collection:
        """Create a collection.

        Args:
            name: see `CollectionConfig`.
            encoder: id or name of an encoder of the store; None: the default encoder, which is built if the
                store has none.
            images: files that a default encoder built now may be calibrated on.
            progress: called before each step of building an encoder.
            options: further fields of `CollectionConfig`.

        Raises:
            InvalidInput: the name or an option cannot be used.
            Conflict: there is a collection of this name.
            EncoderNotFound: there is no such encoder.
            Incompatible: see `default_encoder`.
        """
        from lookalike.collection_config import CollectionConfig
        from lookalike.default_encoder import default_encoder
        from lookalike.layout import check_collection_name

        check_collection_name(name)
        if encoder is None:
            manifest: EncoderManifest = default_encoder(self, images=images, progress=progress)
        else:
            manifest = self.encoders.get(encoder)
        self.collections.create(CollectionConfig(name, manifest.id, **options))
        return self.collection(name)

    def delete_collection(self, name: str) -> None:
        """Delete a collection permanently: its images, metadata, trash, catalogue and snapshots.

        Works for a damaged collection too. Raises CollectionNotFound.
        """
        self.collections.check_exists(name)
        # Images first: if this is cut short, the collection is still there to be deleted again.
        if (folder := self.images.local_path(name)) is not None:
            # This includes what no listing shows: empty folders, and files that were being written.
            shutil.rmtree(folder, ignore_errors=True)
        self.images.delete_folder(name)
        self.trash(name).empty()
        self.collections.delete(name)
        self.forget(name)

    # Snapshots

    def staleness(self, collection: str) -> Staleness:
        """Whether a collection needs a new snapshot, and why; see `snapshots.staleness`."""
        from lookalike.snapshots.staleness import staleness_of

        return staleness_of(self, collection)

    def build_snapshot(
        self, collection: str, *, progress: Callable[[str], None] | None = None, force: bool = False
    ) -> SnapshotManifest:
        """Tidy a collection's catalogue, then build a snapshot of it and publish that.

        In this order, because tidying after a build looks like a change: every cold start would look for new
        rows, and pay for it. A snapshot that is up to date stays, unless `force`.

        Raises:
            CollectionNotFound, EncoderNotFound: it does not exist.
            Incompatible: the store returned other bytes than were written; nothing was published.
            StoreUnavailable: the store failed; nothing was published.
        """
        from lookalike.errors import Incompatible, SnapshotNotFound
        from lookalike.snapshots import build_snapshot, current, known_to_all

        config = self.collections.get(collection)
        catalogue = self.catalogue(config)
        try:
            serving = current(self.artifacts, collection)
        except (SnapshotNotFound, Incompatible):
            serving = None
        if force or serving is None or serving.fingerprint != catalogue.fingerprint():
            catalogue.compact(
                known_to_all(self.artifacts, collection, serving.catalogue) if serving else None
            )
        return build_snapshot(
            self.artifacts,
            config,
            catalogue,
            work_dir=self.cache / "builds",
            progress=progress,
            force=force,
            grace_seconds=self.settings.snapshot_grace_seconds,
        )
