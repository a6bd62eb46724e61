"""Reports over a whole collection, page by page: rejected uploads and neighbors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request

from lookalike.api.context import context_of
from lookalike.api.http.access import Reader
from lookalike.api.http.models import (
    EXAMPLE_ENCODER,
    EXAMPLE_SNAPSHOT,
    EXAMPLE_TIME,
    ResponseBody,
    example,
)
from lookalike.api.http.openapi import problems
from lookalike.api.http.parameters import CollectionName
from lookalike.errors import NotReady

if TYPE_CHECKING:
    from lookalike.library import Library

router = APIRouter(tags=["reports"])
MAX_PAGE = 1_000
MAX_NEIGHBORS_PAGE = 200
MAX_K = 100
Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="Number of entries to skip.")]


class RejectionResponse(ResponseBody):
    """An object that can never become an item, and why."""

    id: str
    reason: str
    message: str
    at: str


class RejectionsResponse(ResponseBody):
    """A page of rejections."""

    model_config = example(
        {
            "collection": "fashion",
            "offset": 0,
            "rejections": [
                {
                    "id": "shoes/note.jpg",
                    "reason": "unsupported_format",
                    "message": "Not a supported image.",
                    "at": EXAMPLE_TIME,
                }
            ],
        }
    )

    collection: str
    offset: int
    rejections: list[RejectionResponse]


class NeighborResponse(ResponseBody):
    """One of the nearest neighbors of an item."""

    id: str
    product_id: str | None
    score: float
    distance: float
    confidence: float | None


class ItemNeighborsResponse(ResponseBody):
    """An item and its nearest neighbors, best first."""

    id: str
    product_id: str | None
    neighbors: list[NeighborResponse]


class NeighborsResponse(ResponseBody):
    """A page of items with their neighbors. `lookalike neighbors` writes all of them to a file."""

    model_config = example(
        {
            "collection": "fashion",
            "encoder": EXAMPLE_ENCODER,
            "snapshot": EXAMPLE_SNAPSHOT,
            "k": 1,
            "offset": 0,
            "items": [
                {
                    "id": "shoes/0001.jpg",
                    "product_id": "sku-17",
                    "neighbors": [
                        {
                            "id": "shoes/0002.jpg",
                            "product_id": "sku-18",
                            "score": 0.91,
                            "distance": 0.09,
                            "confidence": 0.96,
                        }
                    ],
                }
            ],
        }
    )

    collection: str
    encoder: str
    snapshot: str | None
    k: int
    offset: int
    items: list[ItemNeighborsResponse]


@router.get("/collections/{collection}/rejections", responses=problems(), summary="List rejected uploads")
def rejections(
    request: Request,
    collection: CollectionName,
    _: Reader,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> RejectionsResponse:
    """Objects that can never become items, and why. The last page is shorter than `limit`."""
    found = context_of(request).library.catalogue(collection).rejections(offset, limit)
    return RejectionsResponse(
        collection=collection,
        offset=offset,
        rejections=[RejectionResponse.model_validate(each, from_attributes=True) for each in found],
    )


@router.get(
    "/collections/{collection}/neighbors", responses=problems(429), summary="List each item's neighbors"
)
async def neighbors(
    request: Request,
    collection: CollectionName,
    _: Reader,
    k: Annotated[int, Query(ge=1, le=MAX_K, description="Neighbors per item.")] = 10,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_NEIGHBORS_PAGE)] = 50,
) -> NeighborsResponse:
    """Items in a fixed order, each with its `k` nearest neighbors. The last page is shorter than `limit`."""
    context = context_of(request)
    async with context.limiters.reports.slot() as slot:
        return await slot.run(_neighbors, context.library, collection, k, offset, limit)


def _neighbors(library: Library, collection: str, k: int, offset: int, limit: int) -> NeighborsResponse:
    from lookalike.neighbors import iter_neighbors

    try:
        state = library.searcher(collection).state()
    except NotReady:
        encoder, snapshot, items = library.collections.get(collection).encoder_id, None, []
    else:
        encoder, snapshot = state.encoder.id, state.snapshot.manifest.id if state.snapshot else None
        items = [
            ItemNeighborsResponse.model_validate(each, from_attributes=True)
            for each in iter_neighbors(state, k, offset=offset, limit=limit)
        ]
    return NeighborsResponse(
        collection=collection, encoder=encoder, snapshot=snapshot, k=k, offset=offset, items=items
    )
