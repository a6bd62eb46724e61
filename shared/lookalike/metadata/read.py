"""A metadata file → `MetadataTable`.

A file needs a column `file` (or `id`): the image's path below `images/`. A path that can be read in more than
one way describes each of these items. `product_id`, `title` and `category` are always text; every further
column is an attribute of one type (see `columns`). Column names are kept as given, trimmed; the five reserved
ones are recognised in any case of letters.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple

from lookalike.errors import MetadataError
from lookalike.layout import (
    IMAGES_FOLDER,
    METADATA_SUFFIXES,
    is_upload_metadata,
    item_id_problem,
    normalise,
)
from lookalike.metadata.columns import (
    MAX_CELL_CHARACTERS,
    RESERVED_COLUMNS,
    column_name,
    text,
    typed_column,
)
from lookalike.metadata.readers import Record, read_csv, read_jsonl, read_parquet
from lookalike.metadata.table import MetadataRow, MetadataTable, RowProblem, bounded
from lookalike.types import Attribute

MAX_METADATA_BYTES = 256 * 1024 * 1024
MAX_COLUMNS = 500

_READERS: dict[str, Callable[[bytes, list[RowProblem]], list[Record]]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
}
SUFFIXES = METADATA_SUFFIXES


def read_metadata(name: str, data: bytes) -> MetadataTable:
    """Read the metadata file `name` with content `data`.

    A bad row is skipped, a bad cell left out, and both are reported; the rest is kept. Of two rows with the
    same id the last one is used.

    Raises:
        MetadataError: the file as a whole cannot be read: unknown suffix, too large, no column `file`.
    """
    problems: list[RowProblem] = []
    records = read_records(name, data, problems)
    names = list(dict.fromkeys(column for record in records for column in record.cells))
    reserved = _reserved_columns(names)
    if records and not reserved.keys() & {"file", "id"}:
        raise MetadataError(
            "no column says which image a row describes",
            got="columns " + ", ".join(names[:20]),
            expected="a column file or id",
            fix="Name the column that holds the image's path below images/ `file`.",
        )
    kept = _described(name, records, reserved, problems)
    return MetadataTable(_rows(kept, names, reserved, problems), bounded(problems))


def read_records(name: str, data: bytes, problems: list[RowProblem]) -> list[Record]:
    """Rows of the table `name` with content `data`, as they are; `problems` gets what is left out.

    Raises:
        MetadataError: unknown suffix, too large, too many columns, or unreadable.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in _READERS:
        raise MetadataError(
            "unknown kind of metadata file",
            got=repr(name),
            expected="a name that ends in " + ", ".join(SUFFIXES),
        )
    if len(data) > MAX_METADATA_BYTES:
        raise MetadataError(
            "the metadata file is too large",
            got=f"{len(data)} bytes",
            expected=f"at most {MAX_METADATA_BYTES}",
        )
    records = _READERS[suffix](data, problems)
    columns = {column for record in records for column in record.cells}
    if len(columns) > MAX_COLUMNS:
        raise MetadataError(
            "the metadata file has too many columns", got=len(columns), expected=f"at most {MAX_COLUMNS}"
        )
    return records


def _reserved_columns(names: list[str]) -> dict[str, str]:
    """Reserved name → the column's name in the file. The first spelling wins."""
    found: dict[str, str] = {}
    for name in names:
        if column_name(name) in RESERVED_COLUMNS:
            found.setdefault(column_name(name), name)
    return found


class _Described(NamedTuple):
    """A record, and the ids of the items that it describes."""

    record: Record
    ids: tuple[str, ...]


def _described(
    file: str, records: list[Record], reserved: dict[str, str], problems: list[RowProblem]
) -> list[_Described]:
    """The records with their ids. A row that names an id exactly has it; else the last row has it."""
    column = reserved.get("file") or reserved.get("id") or ""
    readings: list[_Described] = []
    rows: dict[str, tuple[bool, int]] = {}
    for record in records:
        cell = record.cells.get(column)
        given = "" if cell is None else text(cell)
        ids = _ids_of_upload(given) if is_upload_metadata(file) else _ids(given)
        if not ids:
            problems.append(RowProblem(record.row, f"no usable {column or 'file'}; skipped"))
            continue
        for item_id in ids:
            claim = (item_id == normalise(_below_images(given)), record.row)
            rows[item_id] = max(claim, rows.get(item_id, claim))
        readings.append(_Described(record, ids))
    kept = []
    for record, ids in readings:
        own = tuple(item_id for item_id in ids if rows[item_id][1] == record.row)
        if own:
            kept.append(_Described(record, own))
        else:
            problems.append(
                RowProblem(record.row, f"{ids[0]} appears again in row {rows[ids[0]][1]}; that row is used")
            )
    return kept


def _ids_of_upload(given: str) -> tuple[str, ...]:
    item_id = given.removeprefix(f"{IMAGES_FOLDER}/")
    return () if item_id_problem(item_id) else (normalise(item_id),)


def _ids(given: str) -> tuple[str, ...]:
    """The ids that a cell of `file` can mean, the likeliest first; none if it cannot be an id.

    People write `images\\red\\1.jpg ` for `red/1.jpg`. But names with a backslash or a space at their end
    exist too, and so do folders that are named `images`.
    """
    found: dict[str, None] = {}
    trimmed = given.strip()
    if not trimmed:
        return ()
    for path in (trimmed.replace("\\", "/"), trimmed, given.replace("\\", "/"), given):
        below = _below_images(path)
        for item_id in (below.removeprefix(f"{IMAGES_FOLDER}/"), below):
            if not item_id_problem(item_id):
                found[normalise(item_id)] = None
    return tuple(found)


def _below_images(path: str) -> str:
    path = path.lstrip("/")
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return path


def _rows(
    kept: list[_Described], names: list[str], reserved: dict[str, str], problems: list[RowProblem]
) -> list[MetadataRow]:
    numbers = [record.row for record, _ in kept]
    attributes: list[dict[str, Attribute]] = [{} for _ in kept]
    for name in names:
        if column_name(name) in RESERVED_COLUMNS:
            continue
        cells = [record.cells.get(name) for record, _ in kept]
        for found, value in zip(attributes, typed_column(name, numbers, cells, problems), strict=True):
            if value is not None:
                found[name] = value
    if {"file", "id"} <= reserved.keys():
        problems.append(RowProblem(0, "both file and id are given; file is used, id is left out"))
    return [
        MetadataRow(
            ids[0],
            category=_text_cell(record, "category", reserved, problems),
            product_id=_text_cell(record, "product_id", reserved, problems),
            title=_text_cell(record, "title", reserved, problems),
            attributes=found,
            other_ids=ids[1:],
        )
        for (record, ids), found in zip(kept, attributes, strict=True)
    ]


def _text_cell(record: Record, name: str, reserved: dict[str, str], problems: list[RowProblem]) -> str | None:
    cell = record.cells.get(reserved.get(name, ""))
    if cell is None or cell == "":
        return None
    found = text(cell)
    if not isinstance(cell, str | int | float | bool) or len(found) > MAX_CELL_CHARACTERS:
        problems.append(
            RowProblem(record.row, f"{name}: not a text of at most {MAX_CELL_CHARACTERS}; left out")
        )
        return None
    return found
