"""Convert frozen dataclasses to plain JSON values and back. NaN becomes null."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from lookalike.errors import Incompatible

T = TypeVar("T")


def to_plain(value: object) -> Any:
    """Plain values for `json.dumps`."""
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def from_plain(kind: type[T], value: Any) -> T:
    """Inverse of `to_plain` for a dataclass with annotated fields.

    Raises:
        Incompatible: a field is missing, unknown or of another type.
    """
    try:
        made: T = _read(kind, value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Incompatible(
            f"cannot read {kind.__name__}: another version wrote it, or it is damaged",
            got=f"{type(error).__name__}: {error}",
        ) from error
    return made


def _read(kind: Any, value: Any) -> Any:
    if kind is float:
        return float("nan") if value is None else float(value)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _read(next(k for k in inner if k is not type(None)), value)
    if origin is tuple:
        return tuple(_read(inner[0], entry) for entry in value)
    if origin is Mapping:
        return {str(key): _read(inner[1], entry) for key, entry in value.items()}
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        unknown = value.keys() - hints.keys()
        if unknown:
            raise KeyError(", ".join(sorted(unknown)))
        make: Any = kind
        return make(**{name: _read(hints[name], entry) for name, entry in value.items()})
    return value
