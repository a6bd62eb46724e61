"""Items as Arrow columns, as a snapshot stores them and as a delta is filtered.

One row per item. The item's own fields are columns of fixed type; each attribute is a column
`attributes.<name>` of the narrowest type that holds all of its values: boolean, 64-bit integer, double, or
text. If the values do not fit one type, all are written as text. `items.arrow` is an
uncompressed Arrow IPC file (https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format), because
only such files can be memory-mapped and read without a copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lookalike.errors import Incompatible
from lookalike.filters import ATTRIBUTE_PREFIX
from lookalike.types import Attribute, Item

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

ITEM_COLUMNS = {
    "id": "string",
    "category": "string",
    "product_id": "string",
    "title": "string",
    "width": "int32",
    "height": "int32",
    "perceptual_hash": "binary",
    "ingested_at": "string",
}
"""Column → Arrow type of the item's own fields."""

AttributeType = Literal["null", "bool", "int64", "double", "string"]
MAX_EXACT_DOUBLE = 2**53
"""Larger integers lose digits as doubles."""


class ColumnsWriter:
    """Collects items batch by batch as compact columns, then writes them as one file.

    Attribute types may differ between batches; they are unified when the file is written.
    """

    def __init__(self) -> None:
        self._batches: list[pa.Table] = []

    def add(self, items: Sequence[Item]) -> None:
        """Append rows in the order of the file."""
        if items:
            self._batches.append(table_of(items))

    def write(self, path: Path) -> pa.Schema:
        """Write all rows to `path` and return the file's schema."""
        import pyarrow as pa

        tables = _conform(self._batches) or [table_of([])]
        # One chunk if possible: a lookup in many chunks costs a search per value.
        table = pa.concat_tables(tables).combine_chunks()
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        return table.schema


def read_columns(path: Path) -> pa.Table:
    """The table in an `items.arrow`, mapped into memory.

    Raises:
        FileNotFoundError: there is no such file.
        Incompatible: it is not an Arrow file, or it is damaged.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all()
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise Incompatible(
            f"{path.name} cannot be read: {error}", expected="an Arrow IPC file", fix="Build a new snapshot."
        ) from error


def table_of(items: Sequence[Item], types: Mapping[str, AttributeType] | None = None) -> pa.Table:
    """Items as a table, one row each, in their order.

    Args:
        items: any number.
        types: attribute → the type of its column elsewhere; incompatible values become null.
    """
    import pyarrow as pa

    columns: dict[str, Any] = {
        name: pa.array([getattr(item, name) for item in items], type=kind)
        for name, kind in ITEM_COLUMNS.items()
    }
    names = dict.fromkeys(name for item in items for name in item.attributes)
    for name in names:
        values = [_finite(item.attributes.get(name)) for item in items]
        type_ = _narrowest(values)
        wanted = (types or {}).get(name, "null")
        # Numbers compare with numbers, and any value can be text; other values become null.
        if wanted not in ("null", type_) and not {wanted, type_} <= {"int64", "double"}:
            if wanted != "string":
                values = [value if _type_of(value) == wanted else None for value in values]
            type_ = wanted
        columns[ATTRIBUTE_PREFIX + name] = _array(values, type_)
    return pa.table(columns)


def attribute_types(schema: pa.Schema) -> dict[str, AttributeType]:
    """The attributes of a table made here, with their types."""
    return {
        field.name.removeprefix(ATTRIBUTE_PREFIX): str(field.type)  # type: ignore[misc]  # only these were written
        for field in schema
        if field.name.startswith(ATTRIBUTE_PREFIX)
    }


class ItemReader:
    """Fast access to single rows of a table as items."""

    def __init__(self, table: pa.Table) -> None:
        columns = {name: _flat(table[name]) for name in table.column_names}
        self._ids = columns["id"]
        self._categories = columns["category"]
        self._own = [(name, columns[name]) for name in ITEM_COLUMNS]
        self._attributes = [
            (name.removeprefix(ATTRIBUTE_PREFIX), column)
            for name, column in columns.items()
            if name.startswith(ATTRIBUTE_PREFIX)
        ]

    def id_at(self, row: int) -> str:
        """The id in row `row`."""
        return str(self._ids[row])

    def category_at(self, row: int) -> str | None:
        """The category in row `row`."""
        value: str | None = self._categories[row].as_py()
        return value

    def item_at(self, row: int) -> Item:
        """The item in row `row`, without empty attributes."""
        own: dict[str, Any] = {name: column[row].as_py() for name, column in self._own}
        values = ((name, column[row].as_py()) for name, column in self._attributes)
        return Item(**own, attributes={name: value for name, value in values if value is not None})


def _flat(column: pa.ChunkedArray[Any]) -> Any:
    """The column's only chunk, if it has one: rows are found without a search."""
    return column.chunk(0) if column.num_chunks == 1 else column


def _conform(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """The same rows, with all attribute columns in every table and one type per column."""
    import pyarrow as pa

    found: dict[str, set[AttributeType]] = {}
    for table in tables:
        for name, type_ in attribute_types(table.schema).items():
            found.setdefault(name, set()).add(type_)
    types = {name: _widest(seen) for name, seen in sorted(found.items())}
    conformed = []
    for table in tables:
        columns: dict[str, Any] = {name: table[name] for name in ITEM_COLUMNS}
        for name, type_ in types.items():
            column = ATTRIBUTE_PREFIX + name
            if column not in table.column_names:
                columns[column] = pa.nulls(table.num_rows, pa.type_for_alias(type_))
            elif str(table[column].type) == type_:
                columns[column] = table[column]
            else:
                columns[column] = _array(table[column].to_pylist(), type_)
        conformed.append(pa.table(columns))
    return conformed


def _narrowest(values: Iterable[Attribute]) -> AttributeType:
    return _widest({_type_of(value) for value in values})


def _type_of(value: Attribute) -> AttributeType:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int64" if -(2**63) <= value < 2**63 else "string"
        case float():
            return "double"
        case _:
            return "string"


def _widest(types: set[AttributeType]) -> AttributeType:
    valued = types - {"null"}
    if not valued:
        return "null"
    if len(valued) == 1:
        return next(iter(valued))
    return "double" if valued == {"int64", "double"} else "string"


def _array(values: Sequence[Attribute], type_: AttributeType) -> pa.Array[Any]:
    import pyarrow as pa

    if type_ == "string":
        return pa.array([None if value is None else _text(value) for value in values], pa.string())
    if type_ == "double":
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array(values, pa.type_for_alias(type_))


def _text(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _finite(value: Attribute) -> Attribute:
    # JSON has no NaN or infinity; as attributes they mean "no value".
    return None if isinstance(value, float) and not math.isfinite(value) else value
