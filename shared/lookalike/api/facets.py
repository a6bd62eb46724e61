"""Facets: which values the fields of a collection have, under a filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.api.overview_answers import FacetAnswer, FacetsAnswer, FacetValueAnswer
from lookalike.filters import ATTRIBUTE_PREFIX, FieldKind, parse_filter, resolve_field

if TYPE_CHECKING:
    from lookalike.search.view import View

MOST_VALUES = 30
OWN_FIELDS = ("category", "product_id")
WORDS = frozenset({"any", "not"})


def facets_of(view: View, collection: str, filter_: Mapping[str, Any] | None) -> FacetsAnswer:
    """The facets of the items that fulfil a filter.

    A field that the filter itself names is counted as if it did not, so that its other values stay to be
    chosen.

    Raises:
        FilterError: an unknown field, or unlike types.
    """
    given = dict(filter_ or {})
    allowed = _fulfilling(view, given)
    named: dict[str, dict[str, Any]] = {}
    for name in given:
        if name not in WORDS:
            rest = {other: value for other, value in given.items() if other != name}
            named[resolve_field(name, view.fields)] = rest
    facets = []
    for column, kind in view.fields.items():
        if kind != "unknown" and (column in OWN_FIELDS or column.startswith(ATTRIBUTE_PREFIX)):
            mask = _fulfilling(view, named[column]) if column in named else allowed
            facets.append(_facet(view, column, kind, mask))
    return FacetsAnswer(collection=collection, items=int(allowed.sum()), facets=facets)


def _fulfilling(view: View, given: Mapping[str, Any]) -> NDArray[np.bool_]:
    return view.fulfilling(parse_filter(given)) if given else view.alive


def _name(column: str, view: View) -> str:
    """What a filter calls the column: the attribute's name, where no other column or word has it."""
    short = column.removeprefix(ATTRIBUTE_PREFIX)
    return column if short in WORDS or (short != column and short in view.fields) else short


def _facet(view: View, column: str, kind: FieldKind, mask: NDArray[np.bool_]) -> FacetAnswer:
    import pyarrow as pa
    import pyarrow.compute as pc

    values = view.column(column).filter(pa.array(mask)).drop_null()
    found: Any = pc.value_counts(values)
    counted: list[dict[str, Any]] = found.to_pylist()
    counted.sort(key=lambda each: (-each["counts"], str(each["values"])))
    numbers = [each["values"] for each in counted] if kind == "number" else []
    return FacetAnswer(
        field=_name(column, view),
        kind="text" if kind == "unknown" else kind,
        items=len(values),
        distinct=len(counted),
        values=[
            FacetValueAnswer(value=each["values"], count=each["counts"]) for each in counted[:MOST_VALUES]
        ],
        low=min(numbers, default=None),
        high=max(numbers, default=None),
    )
