"""What publishing works with: the parts of one store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lookalike.catalogue import Catalogue
from lookalike.collections import Collections
from lookalike.encoders import Encoders
from lookalike.settings import Settings
from lookalike.storage import Store
from lookalike.training.sources.collection import CollectionParts

Progress = Callable[[str, int, int], None]
"""Called with what is being done, in a few words, how much of it is done, and of how much (0: not known)."""


class Parts(CollectionParts, Protocol):
    """The two roots, and what lives in them; a `Workspace` is one."""

    @property
    def settings(self) -> Settings:
        """Limits, threads and times."""

    @property
    def cache(self) -> Path:
        """Where builds under way are kept."""


def catalogue_of(parts: Parts, collection: str, encoder_id: str) -> Catalogue:
    """A collection's catalogue with the vectors of one encoder. Raises EncoderNotFound."""
    manifest = parts.encoders.get(encoder_id)
    return Catalogue(parts.artifacts, collection, manifest.id, manifest.dimension)


@dataclass(frozen=True, slots=True)
class StoreParts:
    """The parts of one store, for who has no `Workspace`."""

    settings: Settings
    images: Store
    artifacts: Store
    collections: Collections
    encoders: Encoders
    cache: Path

    @classmethod
    def of(cls, settings: Settings, cache: Path) -> StoreParts:
        """The parts of the store that `settings` name; `cache` is where temporary files are kept."""
        artifacts = Store.artifacts(settings)
        encoders = Encoders(artifacts, cache)
        return cls(settings, Store.images(settings), artifacts, Collections(artifacts), encoders, cache)
