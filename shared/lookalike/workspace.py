"""What a command works with: the parts of one store, each made when it is first used."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.settings import Settings, cache_folder
from lookalike.storage import Store

if TYPE_CHECKING:
    from lookalike.catalogue import Catalogue
    from lookalike.collections import CollectionConfig, Collections
    from lookalike.encoders import Encoder, Encoders
    from lookalike.ingest import Ingestor
    from lookalike.search import Searcher
    from lookalike.snapshots import SnapshotManifest


class Workspace:
    """The two roots that `settings` name, and what lives in them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @classmethod
    def at(cls, store: str | None) -> Workspace:
        """The workspace of a store; None takes it from the environment.

        Raises:
            SettingsError: an environment variable cannot be read.
        """
        return cls(Settings.from_env(os.environ, store=store))

    @cached_property
    def images(self) -> Store:
        """What users upload."""
        return Store.images(self.settings)

    @cached_property
    def artifacts(self) -> Store:
        """What the system writes."""
        return Store.artifacts(self.settings)

    @cached_property
    def cache(self) -> Path:
        """Where files of an S3 store, builds under way and features of pictures are kept."""
        return cache_folder(os.environ)

    @cached_property
    def collections(self) -> Collections:
        """All collections of the store."""
        from lookalike.collections import Collections

        return Collections(self.artifacts)

    @cached_property
    def encoders(self) -> Encoders:
        """All encoders of the store."""
        from lookalike.encoders import Encoders

        return Encoders(self.artifacts, self.cache)

    @cached_property
    def ingestor(self) -> Ingestor:
        """What applies changes of the images root to the catalogues."""
        from lookalike.ingest import Ingestor

        loaded: dict[str, Encoder] = {}

        def encoder_for(config: CollectionConfig) -> Encoder:
            # Kept here, because the registry lets go of an encoder as soon as nobody uses it.
            if config.encoder_id not in loaded:
                loaded[config.encoder_id] = self.encoders.load(config.encoder_id)
            return loaded[config.encoder_id]

        return Ingestor(self.images, self.artifacts, self.settings, encoder_for)

    def catalogue(self, config: CollectionConfig) -> Catalogue:
        """The tables of record of one collection."""
        from lookalike.catalogue import Catalogue

        dimension = self.encoders.get(config.encoder_id).dimension
        return Catalogue(self.artifacts, config.name, config.encoder_id, dimension)

    def searcher(self, collection: str) -> Searcher:
        """What answers searches in one collection."""
        from lookalike.search import Searcher

        return Searcher(self.artifacts, collection, self.settings, self.encoders, self.cache)

    def build_snapshot(
        self, config: CollectionConfig, *, progress: Callable[[str], None] | None = None, force: bool = False
    ) -> SnapshotManifest:
        """Build and publish a snapshot of a collection, if it has changed; see `snapshots.build_snapshot`."""
        from lookalike.snapshots import build_snapshot

        return build_snapshot(
            self.artifacts,
            config,
            self.catalogue(config),
            work_dir=self.cache / "builds",
            progress=progress,
            force=force,
            grace_seconds=self.settings.snapshot_grace_seconds,
        )
