"""Columns of the three tables of record, and conversion between their rows and our values.

The first field of each is the primary key. Lance does not enforce it, but needs the mark: without it, two
writers that insert the same new key at once both succeed, and the table has the row twice.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np

from lookalike.catalogue.rows import DAMAGE_FIX, ItemRow, MetadataFile, MetadataVersion
from lookalike.catalogue.sequencer import normalise_sequencer
from lookalike.integrity import load_json, reading
from lookalike.metadata import MetadataRow, MetadataTable, RowProblem
from lookalike.types import Vectors

KEY_SEPARATOR = "\x00"
METADATA_CELLS = ("product_id", "title", "category", "attributes")
_PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}


@cache
def items_schema() -> Any:
    """One row per id: the fields of `ItemRow`."""
    import pyarrow as pa

    fields: list[Any] = [
        pa.field("id", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
        pa.field("sequencer", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("etag", pa.string()),
        pa.field("content_hash", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("perceptual_hash", pa.binary()),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
        pa.field("ingested_at", pa.string()),
    ]
    return pa.schema(fields)


@cache
def metadata_schema() -> Any:
    """One row per (file, id), and one head per file, whose id is "".

    A head has the file's newest sequencer; a row with a lower one was dropped by a later version of its
    file, and is dead. `attributes` is JSON: of a row its further columns, of a head the facts of
    `MetadataFile`.
    """
    import pyarrow as pa

    fields: list[Any] = [
        pa.field("key", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
        pa.field("file", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequencer", pa.string(), nullable=False),
    ]
    return pa.schema(fields + [pa.field(name, pa.string()) for name in METADATA_CELLS])


@cache
def vectors_schema(dimension: int) -> Any:
    """One row per id: its vector by one encoder, and which bytes it was made from."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
            pa.field("sequencer", pa.string(), nullable=False),
            pa.field("content_hash", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), dimension)),
        ]
    )


def items_table(rows: Sequence[ItemRow]) -> Any:
    """`rows` as Arrow."""
    import pyarrow as pa

    schema = items_schema()
    return pa.table({name: [getattr(row, name) for row in rows] for name in schema.names}, schema=schema)


def item_rows(table: Any) -> list[ItemRow]:
    """Inverse of `items_table`; columns that were not read keep their defaults."""
    return [ItemRow(**row) for row in table.to_pylist()]


def vectors_table(
    ids: Sequence[str], sequencers: Sequence[str], content_hashes: Sequence[str], vectors: Vectors
) -> Any:
    """Arrow of vectors, without a copy of them."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return pa.table(
        [pa.array(ids), pa.array(sequencers), pa.array(content_hashes), column],
        schema=vectors_schema(vectors.shape[1]),
    )


def vectors_array(table: Any, dimension: int) -> Vectors:
    """The column `vector` of Arrow as shape (n, dimension), float32."""
    column = table.column("vector").combine_chunks()
    return np.asarray(column.flatten(), dtype=np.float32).reshape(-1, dimension)


def metadata_table(head: MetadataFile, rows: Sequence[MetadataRow]) -> Any:
    """A file's rows, head first, as Arrow: one for each id that a row describes."""
    import pyarrow as pa

    rows = [dataclasses.replace(row, id=item_id) for row in rows for item_id in (row.id, *row.other_ids)]
    facts = dataclasses.asdict(head)
    facts["problems"] = [[problem.row, problem.message] for problem in head.problems]
    columns: dict[str, list[str | None]] = {
        "key": [head.name + KEY_SEPARATOR, *(f"{head.name}{KEY_SEPARATOR}{row.id}" for row in rows)],
        "file": [head.name] * (len(rows) + 1),
        "id": ["", *(row.id for row in rows)],
        "sequencer": [head.sequencer] * (len(rows) + 1),
        "product_id": [None, *(row.product_id for row in rows)],
        "title": [None, *(row.title for row in rows)],
        "category": [None, *(row.category for row in rows)],
        "attributes": [json.dumps(facts), *(json.dumps(dict(row.attributes)) for row in rows)],
    }
    return pa.table(columns, schema=metadata_schema())


def metadata_tables(versions: Sequence[MetadataVersion]) -> Any:
    """The rows of several files, one version of each, as one Arrow table."""
    import pyarrow as pa

    tables = []
    for version in versions:
        head = head_of(version.file, normalise_sequencer(version.sequencer), version.etag, version.table)
        tables.append(metadata_table(head, version.table.rows if version.table else []))
    return pa.concat_tables(tables).combine_chunks()


def metadata_files(table: Any) -> dict[str, MetadataFile]:
    """Inverse of `metadata_table` for its heads: by file name."""
    files: dict[str, MetadataFile] = {}
    for row in table.to_pylist():
        with reading(f"the record of the metadata file {row['file']}", DAMAGE_FIX):
            facts = load_json(row["attributes"])
            facts["problems"] = tuple(RowProblem(number, message) for number, message in facts["problems"])
            files[row["file"]] = MetadataFile(**facts)
    return files


def head_of(file: str, sequencer: str, etag: str, table: MetadataTable | None) -> MetadataFile:
    """The head of a file's version, made now; None: it was removed."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if table is None:
        return MetadataFile(file, sequencer, removed=True, ingested_at=now)
    problems = tuple(table.problems)
    return MetadataFile(file, sequencer, etag, rows=len(table.rows), problems=problems, ingested_at=now)
