"""File formats → records: the row's number and its cells by column name."""

from __future__ import annotations

import csv
import io
from typing import Any, NamedTuple

from lookalike.errors import MetadataError
from lookalike.integrity import load_json
from lookalike.metadata.columns import ID_COLUMNS, column_name
from lookalike.metadata.table import RowProblem

DELIMITERS = ",;\t|"
MAX_ROWS = 5_000_000
MAX_UNPACKED_BYTES = 2 * 1024**3


class Record(NamedTuple):
    """One row as read: strings from CSV, JSON's and Arrow's own types otherwise."""

    row: int
    cells: dict[str, object]


def decode_text(data: bytes) -> str:
    """UTF-8 (a byte order mark is dropped), UTF-16 if it is marked so, else Latin-1, which never fails."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_csv(data: bytes, problems: list[RowProblem]) -> list[Record]:
    """RFC 4180, with comma, semicolon, tab or bar.

    The delimiter is the one that splits the header into most columns, `file` or `id` among them. csv.Sniffer
    is not used: it relies on statistics of the whole text, and sometimes chooses a letter of the titles.

    Raises:
        MetadataError: there is no header.
    """
    content = _without_nul(decode_text(data), problems)
    header_line = next((line for line in content.splitlines() if line.strip()), "")
    if not header_line:
        raise MetadataError("the metadata file is empty", expected="a header line with a column file or id")
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=_delimiter(header_line))
    header: list[str] | None = None
    records: list[Record] = []
    while True:
        row = reader.line_num + 1
        try:
            given = next(reader)
        except StopIteration:
            return records
        except csv.Error as error:  # a field over csv's own limit; the reader continues with the next line
            problems.append(RowProblem(row, f"unreadable: {error}; is a quote missing?"))
            continue
        cells = [cell.strip() for cell in given]
        if not any(cells):
            continue
        if header is None:
            header = _header(cells, row, problems)
        elif (problem := _ragged(cells, len(header), reader.line_num - row)) is not None:
            problems.append(RowProblem(row, problem))
        else:
            pairs = zip(header, given[: len(header)], strict=True)
            records.append(Record(row, {name: _cell(name, cell) for name, cell in pairs if name}))


def read_jsonl(data: bytes, problems: list[RowProblem]) -> list[Record]:
    """One JSON object a line (https://jsonlines.org); blank lines are skipped."""
    records: list[Record] = []
    for row, line in enumerate(_without_nul(decode_text(data), problems).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = load_json(line)
        except ValueError as error:
            problems.append(RowProblem(row, f"not JSON: {str(error)[:120]}"))
            continue
        if isinstance(found, dict):
            records.append(Record(row, {name.strip(): _cell(name, cell) for name, cell in found.items()}))
        else:
            problems.append(RowProblem(row, f"a JSON {type(found).__name__}, not an object"))
    return records


def read_parquet(data: bytes, problems: list[RowProblem]) -> list[Record]:
    """Apache Parquet. Times become text (`2024-02-29 12:00:00`), decimals numbers; nested columns
    are left out.

    Raises:
        MetadataError: not Parquet, or too much of it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        groups = (file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        unpacked = sum(groups)
        if file.metadata.num_rows > MAX_ROWS or unpacked > MAX_UNPACKED_BYTES:
            raise MetadataError(
                "the metadata file is too large",
                got=f"{file.metadata.num_rows} rows, {unpacked} bytes unpacked",
                expected=f"at most {MAX_ROWS} rows, {MAX_UNPACKED_BYTES} bytes",
            )
        table = file.read()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise MetadataError("the metadata file is not Parquet", got=str(error)[:200]) from error
    columns: list[tuple[str, list[object]]] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        flat = _flat(column)
        if flat is None:
            problems.append(RowProblem(0, f"{name}: nested and binary columns cannot be kept"))
        else:
            columns.append((name.strip(), flat.to_pylist()))
    return [
        Record(row, {name: _cell(name, cells[row - 1]) for name, cells in columns})
        for row in range(1, table.num_rows + 1)
    ]


def _flat(column: Any) -> Any:
    """The column as text, numbers or booleans; None if it is nested or binary."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_temporal(kind):
        return column.cast(pa.string())
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    flat = pa.types.is_primitive(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return column if flat or pa.types.is_null(kind) or pa.types.is_string_view(kind) else None


def _delimiter(header_line: str) -> str:
    def promise(delimiter: str) -> tuple[bool, int]:
        names = [column_name(name) for name in next(csv.reader([header_line], delimiter=delimiter))]
        return ("file" in names or "id" in names, len(names))

    return max(DELIMITERS, key=promise)


def _header(names: list[str], row: int, problems: list[RowProblem]) -> list[str]:
    """Column names; "" for those that are left out: repeated and empty names."""
    header: list[str] = []
    for name in names:
        if name and name in header:
            problems.append(RowProblem(row, f"column {name} appears twice; the first is used"))
            header.append("")
        else:
            header.append(name)
    return header


def _ragged(cells: list[str], width: int, extra_lines: int) -> str | None:
    if len(cells) == width or (len(cells) > width and not any(cells[width:])):
        return None
    hint = f"; it spans {extra_lines + 1} lines, is a quote missing?" if extra_lines else ""
    return f"{len(cells)} cells, the header has {width}; skipped{hint}"


def _without_nul(content: str, problems: list[RowProblem]) -> str:
    count = content.count("\0")
    if count:
        problems.append(RowProblem(0, f"{count} NUL characters were left out"))
        content = content.replace("\0", "")
    return content


def _cell(name: str, cell: object) -> object:
    """The cell, trimmed unless it names an item: file names may start or end with a space."""
    return cell.strip() if isinstance(cell, str) and column_name(name) not in ID_COLUMNS else cell
