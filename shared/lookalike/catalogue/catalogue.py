"""The tables of record of one collection, as one object.

```
artifacts  collections/<c>/items.lance                  one row per id: an image, tombstone or rejection
           collections/<c>/metadata.lance               one row per (file, id), one head row per file
           collections/<c>/vectors/<encoder_id>.lance   one row per id: its vector
```

Every write is one conditional upsert, so writes may be repeated, late and in any order. Ingest commits
vectors first, then items: an item is visible when it is live and has a vector.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from lookalike.catalogue import purge, reading, schemas
from lookalike.catalogue.merge import NOTHING, item_of
from lookalike.catalogue.rows import (
    CatalogueBatch,
    CatalogueStats,
    CatalogueVersion,
    Delta,
    ItemRow,
    MetadataFile,
    MetadataProblem,
    MetadataVersion,
)
from lookalike.catalogue.sequencer import normalise_sequencer
from lookalike.catalogue.tables import VERSION_GRACE, Table
from lookalike.change_token import mark_changed
from lookalike.errors import Incompatible, ItemNotFound
from lookalike.metadata import MetadataTable
from lookalike.storage import Store
from lookalike.types import Item, Rejection, Vectors

TOMBSTONE_GRACE = timedelta(days=15)
"""Amazon SQS keeps a message for 14 days at most: after that no late event can refer to the row."""
_KNOWN = (
    "id",
    "sequencer",
    "status",
    "etag",
    "content_hash",
    "size_bytes",
    "width",
    "height",
    "perceptual_hash",
    "ingested_at",
)


class Catalogue:
    """Items, metadata and one encoder's vectors of a collection. Safe to share between threads.

    Args:
        artifacts: the artifacts root.
        collection: its name.
        encoder_id: the encoder of the vectors; each encoder has its own vectors table; items and metadata are
            shared.
        dimension: of the vectors.
    """

    def __init__(self, artifacts: Store, collection: str, encoder_id: str, dimension: int) -> None:
        folder = f"collections/{collection}"
        self._artifacts = artifacts
        self._lock = threading.Lock()
        self._open_changes = 0
        self._is_marked = True
        self.collection = collection
        self.encoder_id = encoder_id
        self.dimension = dimension
        self._tables = reading.Tables(
            items=Table(artifacts, f"{folder}/items.lance", schemas.items_schema),
            metadata=Table(artifacts, f"{folder}/metadata.lance", schemas.metadata_schema),
            vectors=Table(
                artifacts,
                f"{folder}/vectors/{encoder_id}.lance",
                lambda: schemas.vectors_schema(dimension),
            ),
            dimension=dimension,
        )

    # Writing

    @contextmanager
    def one_change(self) -> Iterator[None]:
        """Report what is committed within the block as one change, at its end; see `change_token`."""
        with self._lock:
            self._open_changes += 1
        try:
            yield
        finally:
            with self._lock:
                self._open_changes -= 1
            self._report_change()

    def _changed(self) -> None:
        with self._lock:
            self._is_marked = False
        self._report_change()

    def _report_change(self) -> None:
        with self._lock:
            if self._open_changes or self._is_marked:
                return
            self._is_marked = True
        mark_changed(self._artifacts, self.collection)

    def put_vectors(
        self, ids: Sequence[str], sequencers: Sequence[str], content_hashes: Sequence[str], vectors: Vectors
    ) -> None:
        """Commit vectors; a row with a higher sequencer is kept.

        Args:
            ids: of items.
            sequencers: of the events that they come from.
            content_hashes: of the bytes that they were made from.
            vectors: shape (len(ids), dimension), float32.

        Raises:
            Incompatible: the vectors have another dimension than the catalogue.
            StoreUnavailable: nothing was written; try again.
        """
        if vectors.shape != (len(ids), self.dimension):
            raise Incompatible(
                f"vectors do not fit the catalogue of {self.collection}",
                got=f"shape {vectors.shape}",
                expected=f"({len(ids)}, {self.dimension})",
            )
        padded = [normalise_sequencer(sequencer) for sequencer in sequencers]
        newest = {ids[i]: i for i in sorted(range(len(ids)), key=padded.__getitem__)}
        chosen = list(newest.values())
        if chosen:
            self._tables.vectors.upsert(
                schemas.vectors_table(
                    list(newest),
                    [padded[i] for i in chosen],
                    [content_hashes[i] for i in chosen],
                    vectors[chosen],
                )
            )
            self._changed()

    def put_items(self, rows: Sequence[ItemRow]) -> None:
        """Commit items, tombstones and rejections; a row with a higher sequencer is kept.

        Raises:
            StoreUnavailable: nothing was written; try again.
        """
        padded = (replace(row, sequencer=normalise_sequencer(row.sequencer)) for row in rows)
        newest = {row.id: row for row in sorted(padded, key=lambda row: row.sequencer)}
        if newest:
            self._tables.items.upsert(schemas.items_table(list(newest.values())))
            self._changed()

    def put_metadata(self, file: str, sequencer: str, table: MetadataTable | None, *, etag: str = "") -> None:
        """Commit one version of a metadata file, whole; None: the file was removed. A newer one stays.

        Rows that an older version had and this one has not are dropped with it.

        Raises:
            StoreUnavailable: nothing was written; try again.
        """
        self.put_metadata_files([MetadataVersion(file, sequencer, table, etag)])

    def put_metadata_files(self, versions: Sequence[MetadataVersion]) -> None:
        """The same for many files in one commit. Of two versions of a file the newer one is taken.

        Raises:
            StoreUnavailable: nothing was written; try again.
        """
        ordered = sorted(versions, key=lambda version: normalise_sequencer(version.sequencer))
        newest = {version.file: version for version in ordered}
        if newest:
            self._tables.metadata.upsert(schemas.metadata_tables(list(newest.values())))
            self._changed()

    # Known rows

    def known(self, ids: Sequence[str] | None = None) -> dict[str, ItemRow]:
        """Rows of `ids` (None: of all), tombstones and rejections included, by id; without `message`."""
        items = self._tables.items
        table = items.read(_KNOWN) if ids is None else items.lookup(ids, _KNOWN)
        return {row.id: row for row in schemas.item_rows(table)}

    def known_vectors(self, ids: Sequence[str] | None = None) -> dict[str, tuple[str, str]]:
        """Sequencer and content hash of the vectors of `ids` (None: of all) that are there, by id."""
        vectors, columns = self._tables.vectors, ("id", "sequencer", "content_hash")
        table = vectors.read(columns) if ids is None else vectors.lookup(ids, columns)
        return {row["id"]: (row["sequencer"], row["content_hash"]) for row in table.to_pylist()}

    def vectors(self, ids: Sequence[str]) -> tuple[list[str], Vectors]:
        """Those of `ids` that have a vector, sorted, and their vectors: shape (n, dimension), float32."""
        return reading.read_vectors(self._tables, ids)

    def metadata_files(self, names: Sequence[str] | None = None) -> dict[str, MetadataFile]:
        """Metadata files of these names (None: all), removed ones included, by name."""
        return self._tables.files(names=names)

    def metadata_problems(self) -> list[MetadataProblem]:
        """Rows and cells of the present metadata files that could not be used."""
        files = self._tables.files()
        return [
            MetadataProblem(file.name, problem.row, problem.message)
            for file in sorted(files.values(), key=lambda file: file.name)
            for problem in file.problems
        ]

    # Reading

    def version(self) -> CatalogueVersion:
        """The newest version of each table. No table is opened, and Lance not imported."""
        return self._tables.version()

    def fingerprint(self) -> str:
        """Changes whenever anything was committed; as cheap as `version`.

        It may also change after housekeeping alone; it always changes with the content.
        """
        return self.look()[1]

    def look(self) -> tuple[CatalogueVersion, str]:
        """`version` and `fingerprint` at the price of one."""
        return self._tables.look()

    def scan(self, version: CatalogueVersion | None = None) -> Iterator[CatalogueBatch]:
        """Visible items in the order of their ids, metadata merged, in batches with their vectors.

        Memory grows with ids and metadata, not with vectors.

        Raises:
            StoreUnavailable: `version` is not kept any more (old ones are for 20 minutes), or no answer.
        """
        return reading.scan(self._tables, version or self.version())

    def sample(self, version: CatalogueVersion, most: int) -> tuple[int, Iterator[Vectors]]:
        """How many items are visible, and batches of vectors of at most `most` of them, evenly spaced."""
        return reading.sample(self._tables, version, most)

    def delta(self, since: CatalogueVersion, version: CatalogueVersion | None = None) -> Delta:
        """What changed after `since`, up to `version` (None: now); since `CatalogueVersion()`: everything."""
        return reading.delta(self._tables, since, version or self.version())

    def count_changes(self, since: CatalogueVersion, now: CatalogueVersion | None = None) -> int:
        """How many rows a delta since then would carry, about: changed items and changed metadata rows."""
        return reading.count_changes(self._tables, since, now or self.version())

    def oldest_change(self, since: CatalogueVersion, now: CatalogueVersion | None = None) -> datetime | None:
        """When the oldest of these changes was ingested; None: there is none. Reads the changed rows only."""
        return reading.oldest_change(self._tables, since, now or self.version())

    def item(self, item_id: str) -> Item:
        """One visible item, metadata merged.

        Raises:
            ItemNotFound: never seen, removed, rejected, or not encoded yet.
        """
        rows = schemas.item_rows(self._tables.items.lookup([item_id], reading.ITEM_COLUMNS))
        encoded = self._tables.vectors.lookup([item_id], ("id",)).num_rows
        if not rows or rows[0].status != "live" or not encoded:
            raise ItemNotFound(f"no such item in the collection {self.collection}", got=repr(item_id))
        return item_of(rows[0], reading.cells_of(self._tables, [item_id]).get(item_id, NOTHING))

    def rejections(self, offset: int = 0, limit: int = 100) -> list[Rejection]:
        """Objects that can never become items, the latest first."""
        columns = ("id", "reason", "message", "ingested_at")
        table = self._tables.items.read(columns, "status = 'rejected'")
        table = table.sort_by([("ingested_at", "descending"), ("id", "ascending")]).slice(offset, limit)
        return [
            Rejection(row["id"], row["reason"] or "", row["message"] or "", row["ingested_at"])
            for row in table.to_pylist()
        ]

    def stats(self) -> CatalogueStats:
        """Counts of everything."""
        tables = self._tables
        status = tables.items.read(("status",)).column("status").value_counts().to_pylist()
        counts = {entry["values"]: int(entry["counts"]) for entry in status}
        files = [file for file in tables.files().values() if not file.removed]
        return CatalogueStats(
            live=counts.get("live", 0),
            removed=counts.get("removed", 0),
            rejected=counts.get("rejected", 0),
            vectors=tables.vectors.count(),
            metadata_files=len(files),
            metadata_rows=sum(file.rows for file in files),
            metadata_problems=sum(len(file.problems) for file in files),
            version=tables.version(),
        )

    # Housekeeping

    def compact(
        self,
        published: CatalogueVersion | None = None,
        *,
        grace: timedelta = TOMBSTONE_GRACE,
        version_grace: timedelta = VERSION_GRACE,
    ) -> None:
        """Purge rows that are not needed, merge small files, remove old versions.

        Args:
            published: the catalogue version of the current snapshot. Tombstones and dropped metadata rows
                are purged only if it includes them: else a searcher would never see the removal.
            grace: tombstones younger than this stay, because an old event may still arrive.
            version_grace: younger versions stay, because a `scan` may be reading them.
        """
        if published is not None:
            purge.tombstones(self._tables, published, datetime.now(UTC) - grace)
            purge.dropped_metadata(self._tables, published)
        for table in (self._tables.items, self._tables.metadata, self._tables.vectors):
            table.tidy(version_grace)
