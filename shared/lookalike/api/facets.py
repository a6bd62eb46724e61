"""Facets: the values that the fields of a collection have, under a filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from lookalike.api.context import context_of
from lookalike.api.http.access import Reader
from lookalike.api.http.bodies import json_value, validate
from lookalike.api.http.models import ResponseBody, example
from lookalike.api.http.openapi import problems
from lookalike.api.http.parameters import CollectionName
from lookalike.filters import ATTRIBUTE_PREFIX, FieldKind, parse_filter, resolve_field

if TYPE_CHECKING:
    from lookalike.library import Library
    from lookalike.search.view import View

router = APIRouter(tags=["overviews"])
FILTERS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
FilterText = Annotated[
    str | None, Query(description="A filter as JSON text.", examples=['{"category": "shoes"}'])
]
MAX_VALUES = 30
ITEM_FIELDS = ("category", "product_id")
FILTER_KEYWORDS = frozenset({"any", "not"})


class FacetValueResponse(ResponseBody):
    """A value, and the number of items that have it."""

    value: str | float | bool
    count: int


class FacetResponse(ResponseBody):
    """One field of the items: its most frequent values, or its range."""

    field: str
    kind: Literal["text", "number", "boolean"]
    items: int = Field(description="Items that have a value.")
    distinct: int
    values: list[FacetValueResponse]
    low: float | None = Field(description="Smallest number.")
    high: float | None = Field(description="Largest number.")


class FacetsResponse(ResponseBody):
    """The number of items that match a filter, and their fields."""

    model_config = example(
        {
            "collection": "fashion",
            "items": 3412,
            "facets": [
                {
                    "field": "category",
                    "kind": "text",
                    "items": 3412,
                    "distinct": 1,
                    "values": [{"value": "shoes", "count": 3412}],
                    "low": None,
                    "high": None,
                }
            ],
        }
    )

    collection: str
    items: int
    facets: list[FacetResponse]


@router.get("/collections/{collection}/facets", responses=problems(429), summary="Count values of fields")
async def facets(
    request: Request, collection: CollectionName, _: Reader, filter: FilterText = None
) -> FacetsResponse:
    """Category, product and attributes of the items that match a filter, with their most frequent values.

    A field that the filter itself uses is counted without that condition, so that its other values stay
    available.
    """
    given = None
    if filter is not None:
        given = validate(json_value(filter, "the parameter filter"), FILTERS, strict=True)
    context = context_of(request)
    async with context.limiters.overviews.slot() as slot:
        return await slot.run(_facets, context.library, collection, given)


def _facets(library: Library, collection: str, filter_: Mapping[str, Any] | None) -> FacetsResponse:
    """Raises FilterError, NotReady."""
    view = library.searcher(collection).state().view
    given = dict(filter_ or {})
    matching = _matching(view, given)
    without: dict[str, dict[str, Any]] = {}
    for name in given:
        if name not in FILTER_KEYWORDS:
            others = {other: value for other, value in given.items() if other != name}
            without[resolve_field(name, view.fields)] = others
    found = []
    for column, kind in view.fields.items():
        if kind != "unknown" and (column in ITEM_FIELDS or column.startswith(ATTRIBUTE_PREFIX)):
            mask = _matching(view, without[column]) if column in without else matching
            found.append(_facet(view, column, kind, mask))
    return FacetsResponse(collection=collection, items=int(matching.sum()), facets=found)


def _matching(view: View, given: Mapping[str, Any]) -> NDArray[np.bool_]:
    return view.fulfilling(parse_filter(given)) if given else view.alive


def _name(column: str, view: View) -> str:
    """The column's name in filters: the attribute's own, unless a column or keyword has the same name."""
    short = column.removeprefix(ATTRIBUTE_PREFIX)
    return column if short in FILTER_KEYWORDS or (short != column and short in view.fields) else short


def _facet(view: View, column: str, kind: FieldKind, mask: NDArray[np.bool_]) -> FacetResponse:
    import pyarrow as pa
    import pyarrow.compute as pc

    values = view.column(column).filter(pa.array(mask)).drop_null()
    found: Any = pc.value_counts(values)
    counted: list[dict[str, Any]] = found.to_pylist()
    counted.sort(key=lambda each: (-each["counts"], str(each["values"])))
    numbers = [each["values"] for each in counted] if kind == "number" else []
    return FacetResponse(
        field=_name(column, view),
        kind="text" if kind == "unknown" else kind,
        items=len(values),
        distinct=len(counted),
        values=[
            FacetValueResponse(value=each["values"], count=each["counts"]) for each in counted[:MAX_VALUES]
        ],
        low=min(numbers, default=None),
        high=max(numbers, default=None),
    )
