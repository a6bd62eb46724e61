"""The filter language: its conditions, and parsing from JSON."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lookalike.errors import FilterError
from lookalike.types import Attribute

Operator = Literal["eq", "in", "gt", "gte", "lt", "lte", "exists"]

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
    """All of `filters`; matches everything if empty."""

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


def _parse(body: object, depth: int) -> Filter:
    if not isinstance(body, dict):
        raise FilterError(
            "a filter must be an object", got=shown(body), expected='for example {"category": "shoes"}'
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
        raise FilterError("'any' takes a list of filters", got=shown(value), expected="at least one filter")
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
                    raise FilterError(f"{field!r} exists", got=shown(value), expected="true or false")
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
                    got=shown(operator),
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
        f"{field!r} {operator}", got=shown(value), expected="text, a number, true, false or null", fix=fix
    )


def _choices(field: str, value: object) -> tuple[Attribute, ...]:
    if not isinstance(value, list):
        raise FilterError(f"{field!r} in", got=shown(value), expected="a list")
    if len(value) > MAX_CHOICES:
        raise FilterError(f"{field!r} in", got=f"{len(value)} values", expected=f"at most {MAX_CHOICES}")
    choices = tuple(_scalar(field, "in", choice) for choice in value)
    if None in choices:
        raise FilterError(
            f"{field!r} in", got="null", fix=f'Use {{"any": [{{"{field}": null}}, ...]}} instead.'
        )
    return choices


def shown(value: object) -> str:
    """A value as an error message quotes it, cut to 60 characters."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
