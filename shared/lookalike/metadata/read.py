"""A metadata file → `MetadataTable`.

A file needs a column `file` (or `id`): the image's path below `images/`. `product_id`, `title` and
`category` are always text; every further column is an attribute of one type (see `columns`). Column names
are kept as given, trimmed; the five reserved ones are recognised in any case of letters.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

from lookalike.errors import MetadataError
from lookalike.metadata.columns import MAX_CELL_CHARACTERS, text, typed_column
from lookalike.metadata.readers import Record, read_csv, read_jsonl, read_parquet
from lookalike.metadata.table import MetadataRow, MetadataTable, RowProblem, bounded
from lookalike.types import Attribute

MAX_METADATA_BYTES = 256 * 1024 * 1024
MAX_ID_CHARACTERS = 1_024  # Amazon S3's limit for a key
MAX_COLUMNS = 500
_NAMES = ("file", "id", "product_id", "title", "category")

_READERS: dict[str, Callable[[bytes, list[RowProblem]], list[Record]]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
}
SUFFIXES: tuple[str, ...] = tuple(_READERS)


def is_metadata(name: str) -> bool:
    """Whether a file of this name is read as metadata."""
    return PurePosixPath(name).suffix.lower() in _READERS


def read_metadata(name: str, data: bytes) -> MetadataTable:
    """Read the metadata file `name` with content `data`.

    A bad row is skipped, a bad cell left out, and either reported; the rest is kept. Of two rows with the
    same id the last wins.

    Raises:
        MetadataError: the whole cannot be read: unknown suffix, too large, no `file` or `id` column.
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
    problems: list[RowProblem] = []
    records = _READERS[suffix](data, problems)
    names = list(dict.fromkeys(column for record in records for column in record.cells))
    if len(names) > MAX_COLUMNS:
        raise MetadataError(
            "the metadata file has too many columns", got=len(names), expected=f"at most {MAX_COLUMNS}"
        )
    reserved = _reserved_columns(names)
    if records and not reserved.keys() & {"file", "id"}:
        raise MetadataError(
            "no column says which image a row is about",
            got="columns " + ", ".join(names[:20]),
            expected="a column file or id",
            fix="Name the column that holds the image's path below images/ `file`.",
        )
    kept = _last_of_each_id(records, reserved, problems)
    return MetadataTable(_rows(kept, names, reserved, problems), bounded(problems))


def _reserved_columns(names: list[str]) -> dict[str, str]:
    """Reserved name → the column's name in the file. The first spelling wins."""
    found: dict[str, str] = {}
    for name in names:
        if name.lower() in _NAMES:
            found.setdefault(name.lower(), name)
    return found


def _last_of_each_id(
    records: list[Record], reserved: dict[str, str], problems: list[RowProblem]
) -> dict[str, Record]:
    column = reserved.get("file") or reserved.get("id") or ""
    kept: dict[str, Record] = {}
    for record in records:
        given = record.cells.get(column)
        item_id = _item_id("" if given is None else text(given))
        if not item_id:
            problems.append(RowProblem(record.row, f"no usable {column or 'file'}; skipped"))
            continue
        if item_id in kept:
            problems.append(
                RowProblem(kept[item_id].row, f"{item_id} comes again in row {record.row}; that is used")
            )
            del kept[item_id]
        kept[item_id] = record
    return kept


def _item_id(given: str) -> str:
    """The id that a cell of `file` means; "" if it cannot be one."""
    path = given.replace("\\", "/").lstrip("/")
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    path = path.removeprefix("images/")
    parts = path.split("/")
    if (
        len(path) > MAX_ID_CHARACTERS
        or not path.isprintable()
        or any(part in {"", ".", ".."} for part in parts)
    ):
        return ""
    return path


def _rows(
    kept: dict[str, Record], names: list[str], reserved: dict[str, str], problems: list[RowProblem]
) -> list[MetadataRow]:
    numbers = [record.row for record in kept.values()]
    attributes: list[dict[str, Attribute]] = [{} for _ in kept]
    for name in names:
        if name.lower() in _NAMES:
            continue
        cells = [record.cells.get(name) for record in kept.values()]
        for found, value in zip(attributes, typed_column(name, numbers, cells, problems), strict=True):
            if value is not None:
                found[name] = value
    if {"file", "id"} <= reserved.keys():
        problems.append(RowProblem(0, "both file and id are given; file says the image, id is left out"))
    return [
        MetadataRow(
            item_id,
            category=_text_cell(record, "category", reserved, problems),
            product_id=_text_cell(record, "product_id", reserved, problems),
            title=_text_cell(record, "title", reserved, problems),
            attributes=found,
        )
        for (item_id, record), found in zip(kept.items(), attributes, strict=True)
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
