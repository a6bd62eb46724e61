"""Column names, and one type per column.

A filter compares a whole column, so a column has one type. If at least 95 % of its filled cells are numbers
(or booleans), that is its type, and the others are reported and dropped: one "n/a" must not turn prices into
text. Otherwise the column is text, with each cell as written. A number with a leading zero ("00420") or of
more than 18 digits makes its whole column text: it is a code, and a number would lose digits.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from lookalike.layout import normalise
from lookalike.metadata.table import RowProblem
from lookalike.types import Attribute

Kind = Literal["int", "float", "bool", "code", "text"]

MOSTLY = 0.95
MAX_CELL_CHARACTERS = 10_000
_INT = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[+-]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
_CODE = re.compile(r"0[0-9]+|[+-]?[0-9]{19,}")
_INT64 = 2**63


ID_COLUMNS = frozenset({"file", "id"})
RESERVED_COLUMNS = ID_COLUMNS | {"product_id", "title", "category"}


def column_name(name: str) -> str:
    """The form in which column names are compared: trimmed, in lower case and NFC.

    Readers and writers of metadata both use it. Otherwise a writer could treat a column as an attribute, and
    a reader could treat it as the item's name.
    """
    return normalise(name.strip()).lower()


def typed_column(
    name: str, rows: Sequence[int], cells: Sequence[object], problems: list[RowProblem]
) -> list[Attribute]:
    """Give all `cells` one type; cells that do not fit become None and are added to `problems`.

    Args:
        name: of the column, for messages.
        rows: row number of each cell.
        cells: str (type inferred from the text), int, float, bool, or None for an empty one.
        problems: gets the cells that were left out.
    """
    plain = [_plain(name, row, cell, problems) for row, cell in zip(rows, cells, strict=True)]
    kinds = [None if cell is None else _kind(cell) for cell in plain]
    column = _column_kind(Counter(kind for kind in kinds if kind))
    if column == "text":
        return [None if cell is None else text(cell) for cell in plain]
    accepted = {"int": {"int"}, "float": {"int", "float"}, "bool": {"bool"}}[column]
    noun = "true or false" if column == "bool" else "a number"
    values: list[Attribute] = []
    for row, cell, kind in zip(rows, plain, kinds, strict=True):
        if kind in accepted and cell is not None:
            values.append(_convert(cell, column))
            continue
        values.append(None)
        if kind:
            problems.append(RowProblem(row, f"{name}: {_shown(cell)} is not {noun} like the rest; left out"))
    return values


def text(value: object) -> str:
    """A cell as text; whole floats lose their `.0`, which a table program adds to a column with gaps."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _plain(name: str, row: int, cell: object, problems: list[RowProblem]) -> str | int | float | bool | None:
    """The cell if it is of a type that can be kept, else None and a problem."""
    if cell is None or (isinstance(cell, str) and not cell):
        return None
    if isinstance(cell, str) and len(cell) > MAX_CELL_CHARACTERS:
        problems.append(
            RowProblem(row, f"{name}: {len(cell)} characters, at most {MAX_CELL_CHARACTERS}; left out")
        )
        return None
    if isinstance(cell, float) and not math.isfinite(cell):
        problems.append(RowProblem(row, f"{name}: {cell} is not a finite number; left out"))
        return None
    if not isinstance(cell, str | int | float | bool):
        problems.append(RowProblem(row, f"{name}: a {type(cell).__name__} cannot be kept; left out"))
        return None
    return cell


def _kind(cell: str | int | float | bool) -> Kind:
    if isinstance(cell, bool):
        return "bool"
    if isinstance(cell, int):
        return "int" if -_INT64 <= cell < _INT64 else "text"
    if isinstance(cell, float):
        return "float"
    return _kind_of_text(cell)


def _kind_of_text(cell: str) -> Kind:
    if _INT.fullmatch(cell):
        return "int"
    if _CODE.fullmatch(cell):
        return "code"
    # The pattern also matches ".", "e5" and ""; float() decides, and overflow is not a number.
    if _FLOAT.fullmatch(cell):
        try:
            return "float" if math.isfinite(float(cell)) else "text"
        except ValueError:
            return "text"
    return "bool" if cell.lower() in {"true", "false"} else "text"


def _column_kind(counts: Counter[Kind]) -> Literal["int", "float", "bool", "text"]:
    total = counts.total()
    numbers = counts["int"] + counts["float"]
    if total == 0 or counts["code"]:
        return "text"
    if numbers >= MOSTLY * total:
        return "float" if counts["float"] else "int"
    return "bool" if counts["bool"] >= MOSTLY * total else "text"


def _convert(cell: str | int | float | bool, kind: str) -> Attribute:
    if kind == "bool":
        return cell if isinstance(cell, bool) else str(cell).lower() == "true"
    return int(cell) if kind == "int" else float(cell)


def _shown(cell: object) -> str:
    shown = repr(cell)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"
