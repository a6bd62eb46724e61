"""Search filters: which items may be in the answer.

A filter is a JSON object. Its fields are joined by *and*; `any` holds alternatives and `not` a negation:

    {"category": "shoes", "price": {"gte": 10, "lt": 50}, "brand": {"in": ["a", "b"]},
     "any": [{"colour": "red"}, {"sale": true}], "not": {"title": null}}

A plain value means equality, and `null` means "has no value". Operators: `eq`, `ne`, `in`, `gt`, `gte`,
`lt`, `lte`, `exists`. Text is compared by code point, so ISO dates compare as dates. An item without a
value fulfils no comparison, and therefore fulfils the `not` (and the `ne`) of every comparison.

Fields are the item's own columns, and its attributes by name. `attributes.<name>` names an attribute
whose name is also that of a column, or a word of this language.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lookalike.errors import FilterError
from lookalike.types import Attribute

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

ATTRIBUTE_PREFIX = "attributes."
"""Attribute columns of a table are named by this and the attribute's name."""

Operator = Literal["eq", "in", "gt", "gte", "lt", "lte", "exists"]
FieldKind = Literal["text", "number", "boolean", "unknown"]
"""`unknown`: a column without a single value, comparable with everything."""

OPERATORS = ("eq", "ne", "in", "gt", "gte", "lt", "lte", "exists")
MAX_DEPTH = 8
MAX_CONDITIONS = 100
MAX_CHOICES = 1_000


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a field. `value` is a tuple for `in`, a bool for `exists`."""

    field: str
    operator: Operator
    value: Attribute | tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Every:
    """All of `filters`; fulfilled when there are none."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of `filters`."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """Not `filter`."""

    filter: Filter


Filter = Condition | Every | Either | Negation


def parse_filter(body: object) -> Filter:
    """Read a filter from decoded JSON.

    Raises:
        FilterError: it is not an object, has an unknown operator, a value of a wrong type, or is deeper
            than 8 levels or longer than 100 conditions. Fields are checked later, by `evaluate`.
    """
    parsed = _parse(body, depth=1)
    count = sum(1 for _ in conditions(parsed))
    if count > MAX_CONDITIONS:
        raise FilterError(
            "the filter has too many conditions", got=count, expected=f"at most {MAX_CONDITIONS}"
        )
    return parsed


def conditions(filter_: Filter) -> Iterable[Condition]:
    """Every comparison in a filter."""
    match filter_:
        case Condition():
            yield filter_
        case Negation(inner):
            yield from conditions(inner)
        case Every(inner) | Either(inner):
            for part in inner:
                yield from conditions(part)


def field_kinds(schema: pa.Schema) -> dict[str, FieldKind]:
    """The columns of a table that a filter may name, and what they can be compared with."""
    kinds = {field.name: _kind(field.type) for field in schema}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def resolve_field(name: str, known: Mapping[str, FieldKind]) -> str:
    """The column that `name` means.

    Raises:
        FilterError: there is none; the text names the nearest.
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
    """Raise FilterError where `filter_` names an unknown field or compares unlike types."""
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
    """Which rows of `table` fulfil `filter_`.

    Args:
        filter_: from `parse_filter`.
        table: its columns are fields; one row per item.
        known: fields that exist although this table may lack them (all of its rows then have no value).

    Returns:
        bool, shape (rows,).

    Raises:
        FilterError: an unknown field, or unlike types.
    """
    kinds = dict(known) if known is not None else field_kinds(table.schema)
    check_filter(filter_, kinds)
    return _mask(filter_, table, kinds)


def _parse(body: object, depth: int) -> Filter:
    if not isinstance(body, dict):
        raise FilterError(
            "a filter must be an object", got=_shown(body), expected='for example {"category": "shoes"}'
        )
    if depth > MAX_DEPTH:
        raise FilterError("the filter is nested too deeply", expected=f"at most {MAX_DEPTH} levels")
    parts: list[Filter] = []
    for key, value in body.items():
        if key == "any":
            parts.append(_parse_any(value, depth))
        elif key == "not":
            parts.append(Negation(_parse(value, depth + 1)))
        elif isinstance(value, dict):
            parts.extend(_parse_operators(str(key), value))
        else:
            parts.append(Condition(str(key), "eq", _scalar(str(key), "eq", value)))
    return parts[0] if len(parts) == 1 else Every(tuple(parts))


def _parse_any(value: object, depth: int) -> Filter:
    if not isinstance(value, list) or not value:
        raise FilterError("'any' takes a list of filters", got=_shown(value), expected="at least one filter")
    return Either(tuple(_parse(alternative, depth + 1) for alternative in value))


def _parse_operators(field: str, operators: Mapping[object, object]) -> Iterable[Filter]:
    if not operators:
        raise FilterError(f"{field!r} has no operator", got="{}", expected=f"one of {', '.join(OPERATORS)}")
    for operator, value in operators.items():
        match operator:
            case "ne":
                yield Negation(Condition(field, "eq", _scalar(field, "ne", value)))
            case "in":
                yield Condition(field, "in", _choices(field, value))
            case "exists":
                if not isinstance(value, bool):
                    raise FilterError(f"{field!r} exists", got=_shown(value), expected="true or false")
                yield Condition(field, "exists", value)
            case "eq":
                yield Condition(field, "eq", _scalar(field, "eq", value))
            case "gt" | "gte" | "lt" | "lte":
                if value is None:
                    raise FilterError(f"{field!r} {operator}", got="null", expected="a number or text")
                yield Condition(field, operator, _scalar(field, operator, value))
            case _:
                near = difflib.get_close_matches(str(operator), OPERATORS, n=1)
                raise FilterError(
                    f"{field!r} has an unknown operator",
                    got=_shown(operator),
                    expected=f"one of {', '.join(OPERATORS)}",
                    fix=f"Did you mean {near[0]}?" if near else None,
                )


def _scalar(field: str, operator: str, value: object) -> Attribute:
    if value is None or isinstance(value, str | bool | int | float):
        # Arrow's widest number is a double; a longer integer cannot be in any column.
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return float(value) if abs(value) < 1e308 else float("inf") * (1 if value > 0 else -1)
        return value
    fix = f'For several values: {{"{field}": {{"in": [...]}}}}.' if isinstance(value, list) else None
    raise FilterError(
        f"{field!r} {operator}", got=_shown(value), expected="text, a number, true, false or null", fix=fix
    )


def _choices(field: str, value: object) -> tuple[Attribute, ...]:
    if not isinstance(value, list):
        raise FilterError(f"{field!r} in", got=_shown(value), expected="a list")
    if len(value) > MAX_CHOICES:
        raise FilterError(f"{field!r} in", got=f"{len(value)} values", expected=f"at most {MAX_CHOICES}")
    choices = tuple(_scalar(field, "in", choice) for choice in value)
    if None in choices:
        raise FilterError(
            f"{field!r} in", got="null", fix=f'Say {{"any": [{{"{field}": null}}, ...]}} instead.'
        )
    return choices


def _shown(value: object) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_value(condition: Condition, kind: FieldKind, value: Attribute) -> None:
    if value is None:
        return
    given: FieldKind = (
        "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    )
    if given != kind:
        expected = {"text": "text", "number": "a number", "boolean": "true or false"}[kind]
        raise FilterError(f"{condition.field!r} {condition.operator}", got=_shown(value), expected=expected)
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
