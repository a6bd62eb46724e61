"""The catalogue's input and output as immutable values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lookalike.metadata import MetadataTable, RowProblem
from lookalike.types import Item, ItemStatus, Vectors

DAMAGE_FIX = "Restore the collection's tables from a backup, or delete it and index its images again."
"""What to do about a row that cannot be read."""


@dataclass(frozen=True, slots=True)
class ItemRow:
    """The facts of one object below `images/`, as last ingested.

    Attributes:
        id: path below the collection's `images/`.
        sequencer: of the event that wrote this row.
        status: `removed` rows are tombstones; `rejected` ones can never become items.
        etag: the store's tag of the bytes that were read; detects a changed object without reading it.
        content_hash: SHA-256 of the bytes, hexadecimal; equal bytes are never encoded twice.
        size_bytes: of the object.
        width: of the image as shown (after its orientation), in pixels.
        height: likewise.
        perceptual_hash: 32 bytes (PDQ), or None for a featureless image.
        reason: why it was rejected, a stable code.
        message: the same in words.
        ingested_at: ISO 8601, UTC.
    """

    id: str
    sequencer: str
    status: ItemStatus = "live"
    etag: str = ""
    content_hash: str = ""
    size_bytes: int = 0
    width: int = 0
    height: int = 0
    perceptual_hash: bytes | None = None
    reason: str | None = None
    message: str | None = None
    ingested_at: str = ""


@dataclass(frozen=True, slots=True)
class CatalogueVersion:
    """Versions of a catalogue's three tables; 0 where a table does not exist yet."""

    items: int = 0
    metadata: int = 0
    vectors: int = 0

    def to_json(self) -> dict[str, int]:
        """As a snapshot keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CatalogueVersion:
        """Inverse of `to_json`."""
        return cls(int(data["items"]), int(data["metadata"]), int(data["vectors"]))


@dataclass(frozen=True, slots=True)
class CatalogueBatch:
    """Visible items and their vectors: row i of `vectors`, shape (n, d) float32, is `items[i]`'s."""

    items: list[Item]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Delta:
    """The changes since a version.

    Attributes:
        version: the version that a reader reaches with this delta; pass it to request the next one.
        removed: ids that are not visible any more (some never were).
        items: new or changed visible items by id, whole, metadata merged; has every id of `vector_ids`.
        vector_ids: visible items whose vector is new, changed or became visible; sorted.
        vectors: shape (len(vector_ids), d), float32, in that order.
    """

    version: CatalogueVersion
    removed: frozenset[str]
    items: dict[str, Item]
    vector_ids: list[str]
    vectors: Vectors

    @property
    def is_empty(self) -> bool:
        """Whether a reader has nothing to do."""
        return not (self.removed or self.items)


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """The facts of one metadata file: the head row of its rows. See `ItemRow` for the common fields."""

    name: str
    sequencer: str
    etag: str = ""
    removed: bool = False
    rows: int = 0
    problems: tuple[RowProblem, ...] = ()
    ingested_at: str = ""


@dataclass(frozen=True, slots=True)
class MetadataVersion:
    """One version of a metadata file, to be committed. `table`: its content; None: it was removed."""

    file: str
    sequencer: str
    table: MetadataTable | None
    etag: str = ""


@dataclass(frozen=True, slots=True)
class MetadataProblem:
    """A row of a metadata file that could not be used, or a cell of it."""

    file: str
    row: int
    message: str


@dataclass(frozen=True, slots=True)
class CatalogueStats:
    """Counts. `live` items may lack a vector while they are being ingested."""

    live: int
    removed: int
    rejected: int
    vectors: int
    metadata_files: int
    metadata_rows: int
    metadata_problems: int
    version: CatalogueVersion
