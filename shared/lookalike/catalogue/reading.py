"""Reading a catalogue at a fixed version: the whole of it for a snapshot, the changes for a searcher."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from lookalike.catalogue.merge import NOTHING, Cells, item_of, merge_metadata
from lookalike.catalogue.newest_version import version_of
from lookalike.catalogue.rows import CatalogueBatch, CatalogueVersion, Delta, ItemRow, MetadataFile
from lookalike.catalogue.schemas import METADATA_CELLS, item_rows, metadata_files, vectors_array
from lookalike.catalogue.tables import CHANGED, LOOKUP_IDS, Table, quoted
from lookalike.layout import normalise, other_spellings
from lookalike.search_space import even_rows
from lookalike.types import Item, Vectors

ITEM_COLUMNS = ("id", "sequencer", "status", "width", "height", "perceptual_hash", "ingested_at")
METADATA_COLUMNS = ("file", "id", "sequencer", *METADATA_CELLS)
BATCH_ROWS = 2_048
IS_HEAD = "id = ''"


@dataclass(frozen=True, slots=True)
class Tables:
    """The three tables of one collection and one encoder."""

    items: Table
    metadata: Table
    vectors: Table
    dimension: int

    def look(self) -> tuple[CatalogueVersion, str]:
        """The newest versions, and a fingerprint of them.

        Vectors last: they are committed before their items, so that every item seen has its vector.
        """
        newest = self.items.newest(), self.metadata.newest(), self.vectors.newest()
        names = "\n".join(f"{info.path} {info.etag}" if info else "-" for info in newest)
        return CatalogueVersion(*map(version_of, newest)), hashlib.sha256(names.encode()).hexdigest()[:32]

    def version(self) -> CatalogueVersion:
        """The newest versions."""
        return self.look()[0]

    def files(
        self, version: int | None = None, *, names: Collection[str] | None = None
    ) -> dict[str, MetadataFile]:
        """Heads of the metadata files of these names (None: of all), removed ones included, by name."""
        condition = IS_HEAD
        if names is not None:
            if len(names) > LOOKUP_IDS:
                return {name: file for name, file in self.files(version).items() if name in set(names)}
            condition += f" AND file IN ({', '.join(map(quoted, names))})" if names else " AND false"
        return metadata_files(self.metadata.read(("file", "attributes"), condition, version=version))


def scan(tables: Tables, version: CatalogueVersion) -> Iterator[CatalogueBatch]:
    """Visible items in the order of their ids. Ids and item facts are held in memory, vectors streamed."""
    import pyarrow as pa

    vectors = tables.vectors.open(version.vectors)
    if vectors is None or not version.items:
        return
    items = _visible(tables, version, ITEM_COLUMNS)
    metadata = tables.metadata.read(METADATA_COLUMNS, version=version.metadata)
    cells = merge_metadata(metadata, tables.files(version.metadata))
    for start in range(0, items.num_rows, BATCH_ROWS):
        part = items.slice(start, BATCH_ROWS)
        found = vectors.take(part.column("position").to_pylist(), columns=["vector"])
        rows = item_rows(part.drop_columns(["position"]))
        assert isinstance(found, pa.Table)
        yield CatalogueBatch(_items(rows, cells), vectors_array(found, tables.dimension))


def sample(tables: Tables, version: CatalogueVersion, most: int) -> tuple[int, Iterator[Vectors]]:
    """How many items are visible, and the vectors of all or of `most` of them, evenly spaced by id."""
    vectors = tables.vectors.open(version.vectors)
    if vectors is None or not version.items:
        return 0, iter(())
    positions = _visible(tables, version, ("id",)).column("position").to_numpy()
    rows = positions[even_rows(len(positions), most)]
    blocks = (rows[start : start + BATCH_ROWS].tolist() for start in range(0, len(rows), BATCH_ROWS))
    return len(positions), (
        vectors_array(vectors.take(block, columns=["vector"]), tables.dimension) for block in blocks
    )


def _visible(tables: Tables, version: CatalogueVersion, columns: Sequence[str]) -> Any:
    """Columns of the items that have a vector, in the order of their ids, and its `position`."""
    import pyarrow.compute as pc

    items = tables.items.read(columns, "status = 'live'", version=version.items).sort_by("id")
    ids = tables.vectors.read(("id",), version=version.vectors).column("id")
    positions = pc.index_in(items.column("id"), value_set=ids.combine_chunks())
    return items.append_column("position", positions).filter(pc.is_valid(positions))


def delta(tables: Tables, since: CatalogueVersion, version: CatalogueVersion) -> Delta:
    """What changed after `since` up to `version`; see `Delta`."""
    changed = {
        row.id: row for row in item_rows(_changed(tables.items, ITEM_COLUMNS, since.items, version.items))
    }
    # With the vectors: to look them up by id afterwards would read the ids of the whole table.
    encoded = _changed(tables.vectors, ("id", "vector"), since.vectors, version.vectors)
    vectors = set(encoded.column("id").to_pylist())
    metadata = _changed_metadata(tables, since.metadata, version.metadata)
    others = sorted((vectors | metadata) - changed.keys())
    known = changed | {
        row.id: row for row in item_rows(tables.items.lookup(others, ITEM_COLUMNS, version=version.items))
    }
    live = {item_id: row for item_id, row in known.items() if row.status == "live"}
    earlier = tables.vectors.lookup(
        sorted(live.keys() & changed.keys() - vectors), ("id", "vector"), version=version.vectors
    )
    ids, array = _sorted_vectors([_of_ids(encoded, live.keys()), earlier], tables.dimension)
    rest = sorted(live.keys() & metadata - set(ids))
    present = tables.vectors.lookup(rest, ("id",), version=version.vectors).column("id").to_pylist()
    visible = sorted({*ids, *present})
    cells = cells_of(tables, visible, version.metadata)
    return Delta(
        version=version,
        removed=frozenset(changed.keys() - live.keys()),
        items={item.id: item for item in _items([live[item_id] for item_id in visible], cells)},
        vector_ids=ids,
        vectors=array,
    )


def count_changes(tables: Tables, since: CatalogueVersion, now: CatalogueVersion) -> int:
    """Rows of items and of metadata that changed after `since`, up to `now`."""
    pairs = ((tables.items, since.items, now.items), (tables.metadata, since.metadata, now.metadata))
    return sum(table.count(f"{CHANGED} > {then}", version=at) for table, then, at in pairs if at != then)


def oldest_change(tables: Tables, since: CatalogueVersion, now: CatalogueVersion) -> datetime | None:
    """When the oldest change of an item or a metadata file after `since`, up to `now`, was ingested."""
    items = _changed(tables.items, ("ingested_at",), since.items, now.items).column("ingested_at").to_pylist()
    heads = _changed(tables.metadata, ("id", "file"), since.metadata, now.metadata).to_pylist()
    files = tables.files(now.metadata) if heads else {}
    times = items + [files[row["file"]].ingested_at for row in heads if not row["id"]]
    return min((datetime.fromisoformat(time) for time in times if time), default=None)


def read_vectors(tables: Tables, ids: Sequence[str], version: int | None = None) -> tuple[list[str], Vectors]:
    """Those of `ids` that have a vector, sorted, and the vectors in that order."""
    return _sorted_vectors([tables.vectors.lookup(ids, ("id", "vector"), version=version)], tables.dimension)


def _of_ids(table: Any, ids: Collection[str]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return table.filter(pc.is_in(table.column("id"), value_set=pa.array(sorted(ids), pa.string())))


def _sorted_vectors(tables: Sequence[Any], dimension: int) -> tuple[list[str], Vectors]:
    """Ids of all tables, sorted, and their vectors in that order."""
    found = [item_id for table in tables for item_id in table.column("id").to_pylist()]
    order = sorted(range(len(found)), key=found.__getitem__)
    arrays = [vectors_array(table, dimension) for table in tables if table.num_rows]
    array = np.concatenate(arrays) if arrays else np.empty((0, dimension), np.float32)
    return [found[i] for i in order], array[order]


def cells_of(tables: Tables, ids: Sequence[str], version: int | None = None) -> dict[str, Cells]:
    """Merged metadata of some items; items without metadata are absent."""
    spelled = [*ids, *(other for item_id in ids for other in other_spellings(item_id))]
    rows = tables.metadata.lookup(spelled, METADATA_COLUMNS, column="id", version=version)
    if not rows.num_rows:
        return {}
    names = rows.column("file").unique().to_pylist()
    return merge_metadata(rows, tables.files(version, names=names))


def _items(rows: Collection[ItemRow], cells: dict[str, Cells]) -> list[Item]:
    return [item_of(row, cells.get(row.id, NOTHING)) for row in rows]


def _changed(table: Table, columns: Sequence[str], since: int, version: int) -> Any:
    # Reading a table's changes costs a scan; equal versions already show that there are none.
    condition = f"{CHANGED} > {since}" if version != since else "false"
    return table.read(columns, condition, version=version, few=since > 0)


def _changed_metadata(tables: Tables, since: int, version: int) -> set[str]:
    """Ids whose metadata changed since `since`: a row is new or changed, or was dropped."""
    if version == since:
        return set()
    changed = _changed(tables.metadata, ("file", "id"), since, version).to_pylist()
    ids = {row["id"] for row in changed if row["id"]}
    for file in {row["file"] for row in changed if not row["id"]}:
        dropped = tables.metadata.lookup([file], ("id",), column="file", version=version)
        ids.update(item_id for item_id in dropped.column("id").to_pylist() if item_id)
    return {normalise(item_id) for item_id in ids}
