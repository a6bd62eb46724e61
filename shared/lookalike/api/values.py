"""What the service answers where the library has no value of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lookalike.collections import CollectionConfig

if TYPE_CHECKING:
    from lookalike.neighbors import Neighbors
    from lookalike.snapshots import SnapshotManifest


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
    """A collection's configuration and the snapshot that serves it; None if there is none to read."""

    config: CollectionConfig
    snapshot: SnapshotManifest | None
