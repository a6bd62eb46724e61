"""Evaluate filters over Arrow tables."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from lookalike.errors import FilterError
from lookalike.filters.language import Condition, Either, Every, Filter, Negation, conditions, shown
from lookalike.types import Attribute

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

ATTRIBUTE_PREFIX = "attributes."
"""Attribute columns of a table are named by this and the attribute's name."""

FieldKind = Literal["text", "number", "boolean", "unknown"]
"""`unknown`: a column without a single value, comparable with everything."""


def field_kinds(schema: pa.Schema) -> dict[str, FieldKind]:
    """The columns of a table that a filter may name, and what they can be compared with."""
    kinds = {field.name: _kind(field.type) for field in schema}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def resolve_field(name: str, known: Mapping[str, FieldKind]) -> str:
    """The column that `name` means.

    Raises:
        FilterError: it does not exist; the message suggests the nearest.
    """
    for column in (name, ATTRIBUTE_PREFIX + name):
        if column in known:
            return column
    names = sorted(column.removeprefix(ATTRIBUTE_PREFIX) for column in known)
    near = difflib.get_close_matches(name, names, n=3) or names[:12]
    raise FilterError(
        "unknown field", got=repr(name), fix=f"Did you mean {', '.join(near)}?" if near else None
    )


def check_filter(filter_: Filter, known: Mapping[str, FieldKind]) -> None:
    """Raise FilterError if `filter_` has an unknown field or compares different types."""
    for condition in conditions(filter_):
        kind = known[resolve_field(condition.field, known)]
        if kind == "unknown" or condition.operator == "exists":
            continue
        values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
        for value in values:
            _check_value(condition, kind, value)


def evaluate(
    filter_: Filter, table: pa.Table, known: Mapping[str, FieldKind] | None = None
) -> NDArray[np.bool_]:
    """Which rows of `table` match `filter_`.

    Args:
        filter_: from `parse_filter`.
        table: its columns are fields; one row per item.
        known: fields that exist even if this table lacks them (its rows then have no value).

    Returns:
        bool, shape (rows,).

    Raises:
        FilterError: an unknown field, or different types.
    """
    kinds = dict(known) if known is not None else field_kinds(table.schema)
    check_filter(filter_, kinds)
    return _mask(filter_, table, kinds)


def _check_value(condition: Condition, kind: FieldKind, value: Attribute) -> None:
    if value is None:
        return
    given: FieldKind = (
        "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    )
    if given != kind:
        expected = {"text": "text", "number": "a number", "boolean": "true or false"}[kind]
        raise FilterError(f"{condition.field!r} {condition.operator}", got=shown(value), expected=expected)
    if kind == "boolean" and condition.operator not in ("eq", "in"):
        raise FilterError(
            f"{condition.field!r} is true or false", got=condition.operator, expected="eq, ne, in or exists"
        )


def _kind(type_: pa.DataType) -> FieldKind | None:
    from pyarrow import types

    checks: tuple[tuple[FieldKind, Callable[[pa.DataType], bool]], ...] = (
        ("text", types.is_string),
        ("text", types.is_large_string),
        ("number", types.is_integer),
        ("number", types.is_floating),
        ("boolean", types.is_boolean),
        ("unknown", types.is_null),
    )
    return next((kind for kind, check in checks if check(type_)), None)


def _mask(filter_: Filter, table: pa.Table, known: Mapping[str, FieldKind]) -> NDArray[np.bool_]:
    import numpy as np

    match filter_:
        case Condition():
            return _compare(filter_, table, known)
        case Negation(inner):
            return ~_mask(inner, table, known)
        case Every(inner):
            mask = np.ones(table.num_rows, bool)
            for part in inner:
                mask &= _mask(part, table, known)
            return mask
        case Either(inner):
            mask = np.zeros(table.num_rows, bool)
            for part in inner:
                mask |= _mask(part, table, known)
            return mask


def _compare(condition: Condition, table: pa.Table, known: Mapping[str, FieldKind]) -> NDArray[np.bool_]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc  # here, not above: 50 ms that a search without a filter does not pay

    name = resolve_field(condition.field, known)
    column = table[name] if name in table.column_names else pa.nulls(table.num_rows)
    wants_value = condition.value if condition.operator == "exists" else condition.value is not None
    if condition.operator == "exists" or condition.value is None:
        found = pc.is_valid(column) if wants_value else pc.is_null(column)
    elif pa.types.is_null(column.type):
        return np.zeros(table.num_rows, bool)
    else:
        found = pc.fill_null(_comparison(condition, column, pc, pa), False)
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


def _comparison(condition: Condition, column: Any, pc: Any, pa: Any) -> Any:
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    # Arrow refuses to compare integers above 2**53 with doubles; unchecked, they are rounded.
    if pa.types.is_integer(column.type) and any(isinstance(value, float) for value in values):
        column = column.cast(pa.float64(), safe=False)
    if condition.operator == "in":
        return pc.is_in(column, value_set=pa.array(values, type=column.type))
    compare = {
        "eq": pc.equal,
        "gt": pc.greater,
        "gte": pc.greater_equal,
        "lt": pc.less,
        "lte": pc.less_equal,
    }[condition.operator]
    return compare(column, pa.scalar(condition.value, type=column.type))
