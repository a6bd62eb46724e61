"""`Library`: one object over a store. The command line, the API, the servers and AWS are thin over it.

```
library = lookalike.open("store")
library.collection("shop").search("query.jpg", k=5)
```
"""

from __future__ import annotations

import os
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING

from lookalike.settings import Settings, cache_folder
from lookalike.storage import Store

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.catalogue import Catalogue
    from lookalike.collections import CollectionConfig, Collections
    from lookalike.encoders import Encoder, Encoders
    from lookalike.ingest import Ingestor
    from lookalike.search import Searcher


class Library:
    """A store: its two roots, its collections and encoders, and what works on them.

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
        self._checked_at: dict[str, float] = {}

    @classmethod
    def open(cls, url: str | None = None, *, cache: Path | None = None) -> Library:
        """The library over a store; None takes its URL from the environment. Raises SettingsError."""
        return cls(Settings.from_env(os.environ, store=url), cache or cache_folder(os.environ))

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
        from lookalike.collections import Collections

        return Collections(self.artifacts)

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
            age = time.monotonic() - self._checked_at.get(collection, -float("inf"))
        if found and age < self.settings.refresh_seconds:
            return found[1]
        config = self.collections.get(collection)
        with self._lock:
            found = self._searchers.get(collection)
            # Deleted and created again under the same name is another collection.
            if found is None or found[0].created_at != config.created_at:
                searcher = Searcher(self.artifacts, collection, self.settings, self.encoders, self.cache)
                found = self._searchers[collection] = config, searcher
            self._checked_at[collection] = time.monotonic()
        return found[1]

    def settle(self, seconds: float) -> None:
        """Wait until no searcher is refreshing, for `seconds` at most; see `Searcher.settle`."""
        deadline = time.monotonic() + seconds
        with self._lock:
            searchers = [searcher for _, searcher in self._searchers.values()]
        for searcher in searchers:
            searcher.settle(max(0.0, deadline - time.monotonic()))

    def forget(self, collection: str) -> None:
        """Let go of what is held in memory for a collection that was deleted."""
        with self._lock:
            self._searchers.pop(collection, None)
            self._encoders_in_use.pop(collection, None)
