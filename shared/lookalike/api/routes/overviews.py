"""A collection as a whole: what stands in it, its facets, its map, its quality."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter

from lookalike.api.access import Reader
from lookalike.api.bodies import json_value, validate
from lookalike.api.gate import Gate
from lookalike.api.openapi import problems
from lookalike.api.overview_answers import FacetsAnswer, MapAnswer, QualityAnswer, StandingAnswer
from lookalike.api.overviews import Overviews
from lookalike.api.routes.parameters import CollectionName

router = APIRouter(tags=["overviews"])
MOST_PLACES = 20_000
FILTERS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
FilterText = Annotated[
    str | None, Query(description="A filter as JSON text.", examples=['{"category": "shoes"}'])
]


def overviews_of(request: Request) -> Overviews:
    """The app's overviews."""
    overviews: Overviews = request.app.state.overviews
    return overviews


@router.get("/collections/{collection}/standing", responses=problems(429), summary="Show what is found now")
async def standing(request: Request, collection: CollectionName, _: Reader) -> StandingAnswer:
    """How many items a search finds now, and how fresh they are."""
    gate: Gate = request.app.state.overview_gate
    async with gate.admit() as place:
        return await place.run(overviews_of(request).standing, collection)


@router.get("/collections/{collection}/facets", responses=problems(429), summary="Count values of fields")
async def facets(
    request: Request, collection: CollectionName, _: Reader, filter: FilterText = None
) -> FacetsAnswer:
    """Category, product and attributes of the items under a filter, each with its most frequent values.

    A field that the filter names is counted as if the filter did not name it.
    """
    given = None
    if filter is not None:
        given = validate(json_value(filter, "the parameter filter"), FILTERS, strict=True)
    gate: Gate = request.app.state.overview_gate
    async with gate.admit() as place:
        return await place.run(overviews_of(request).facets, collection, given)


@router.get("/collections/{collection}/map", responses=problems(429), summary="Get a map of the items")
async def map_of_items(
    request: Request,
    collection: CollectionName,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=MOST_PLACES, description="Items at most.")] = 10_000,
) -> MapAnswer:
    """Places in two dimensions on which items that look alike are near each other."""
    gate: Gate = request.app.state.report_gate
    async with gate.admit() as place:
        return await place.run(overviews_of(request).map, collection, limit)


@router.get("/collections/{collection}/quality", responses=problems(429), summary="Judge the encoder")
async def quality(
    request: Request,
    collection: CollectionName,
    _: Reader,
    precision: Annotated[
        float, Query(gt=0, le=1, description="For which precision to look for a threshold.")
    ] = 0.92,
) -> QualityAnswer:
    """How well the encoder that serves finds pictures of the same category, on the collection's own labels.

    The first answer after a change takes seconds; further ones come from memory.
    """
    gate: Gate = request.app.state.report_gate
    async with gate.admit() as place:
        return await place.run(overviews_of(request).quality, collection, precision)
