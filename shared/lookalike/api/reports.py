"""Reports over a whole collection, page by page: rejected uploads, neighbours, duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field

from lookalike.api.caches import version_of
from lookalike.api.context import Context, base_url, context_of, image_url
from lookalike.api.http.access import Reader
from lookalike.api.http.models import (
    EXAMPLE_ENCODER,
    EXAMPLE_SERVER,
    EXAMPLE_SNAPSHOT,
    EXAMPLE_TIME,
    ResponseBody,
    example,
)
from lookalike.api.http.openapi import problems
from lookalike.api.http.parameters import CollectionName
from lookalike.errors import NotReady

if TYPE_CHECKING:
    from lookalike.duplicates import DuplicateGroup
    from lookalike.library import Library

router = APIRouter(tags=["reports"])
MAX_PAGE = 1_000
MAX_NEIGHBORS_PAGE = 200
MAX_K = 100
Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="Number of entries to skip.")]
_DUPLICATE = {
    "id": "shoes/0001.jpg",
    "product_id": "sku-17",
    "width": 1200,
    "height": 1200,
    "score": 1.0,
    "hash_distance": 0,
    "reasons": ["vector", "hash"],
    "image_url": f"{EXAMPLE_SERVER}/collections/fashion/images/shoes/0001.jpg",
}


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
    """One of the nearest neighbours of an item."""

    id: str
    product_id: str | None
    score: float
    distance: float
    confidence: float | None


class ItemNeighborsResponse(ResponseBody):
    """An item and its nearest neighbours, best first."""

    id: str
    product_id: str | None
    neighbors: list[NeighborResponse]


class NeighborsResponse(ResponseBody):
    """A page of items with their neighbours. `lookalike neighbors` writes all of them to a file."""

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


class DuplicateResponse(ResponseBody):
    """One image of a group of duplicates."""

    id: str
    product_id: str | None
    width: int
    height: int
    score: float = Field(description="Cosine similarity to the image to keep.")
    hash_distance: int | None = Field(description="Bits in which perceptual hashes differ, of 256.")
    reasons: list[Literal["vector", "hash"]]
    image_url: str


class DuplicateGroupResponse(ResponseBody):
    """Images that are duplicates. The one to keep comes first."""

    keep: str
    members: list[DuplicateResponse]


class DuplicatesResponse(ResponseBody):
    """A page of groups, largest first."""

    model_config = example(
        {
            "collection": "fashion",
            "total": 1,
            "offset": 0,
            "groups": [
                {
                    "keep": "shoes/0001.jpg",
                    "members": [
                        _DUPLICATE,
                        {
                            **_DUPLICATE,
                            "id": "shoes/copy.jpg",
                            "width": 600,
                            "height": 600,
                            "hash_distance": 4,
                        },
                    ],
                }
            ],
        }
    )

    collection: str
    total: int
    offset: int
    groups: list[DuplicateGroupResponse]


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
    "/collections/{collection}/neighbors", responses=problems(429), summary="List each item's neighbours"
)
async def neighbors(
    request: Request,
    collection: CollectionName,
    _: Reader,
    k: Annotated[int, Query(ge=1, le=MAX_K, description="Neighbours per item.")] = 10,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_NEIGHBORS_PAGE)] = 50,
) -> NeighborsResponse:
    """Items in a fixed order, each with its `k` nearest neighbours. The last page is shorter than `limit`."""
    context = context_of(request)
    async with context.limiters.reports.slot() as slot:
        return await slot.run(_neighbors, context.library, collection, k, offset, limit)


@router.get(
    "/collections/{collection}/duplicates", responses=problems(429), summary="List groups of duplicates"
)
async def duplicates(
    request: Request,
    collection: CollectionName,
    _: Reader,
    min_score: Annotated[
        float, Query(gt=0, le=1, description="Minimum cosine similarity of duplicates.")
    ] = 0.95,
    max_hash_distance: Annotated[
        int,
        Query(ge=0, le=31, description="Maximum number of bits in which perceptual hashes may differ."),
    ] = 31,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> DuplicatesResponse:
    """Items with similar vectors or similar perceptual hashes, largest group first.

    The first page compares all items, which takes a while. Further pages use the cached result.
    """
    context = context_of(request)
    async with context.limiters.reports.slot() as slot:
        groups = await slot.run(_duplicates, context, collection, min_score, max_hash_distance)
    base = base_url(request)
    return DuplicatesResponse(
        collection=collection,
        total=len(groups),
        offset=offset,
        groups=[_group(group, collection, base) for group in groups[offset : offset + limit]],
    )


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


def _duplicates(
    context: Context, collection: str, min_score: float, max_hash_distance: int
) -> list[DuplicateGroup]:
    from lookalike.duplicates import find_duplicates

    try:
        state = context.library.searcher(collection).state()
    except NotReady:
        return []
    return context.reports.get(
        collection,
        "duplicates",
        (*version_of(state), min_score, max_hash_distance),
        lambda: find_duplicates(state.view, min_score=min_score, max_hash_distance=max_hash_distance),
    )


def _group(group: DuplicateGroup, collection: str, base: str) -> DuplicateGroupResponse:
    return DuplicateGroupResponse(
        keep=group.keep,
        members=[
            DuplicateResponse(
                id=member.id,
                product_id=member.product_id,
                width=member.width,
                height=member.height,
                score=member.score,
                hash_distance=member.hash_distance,
                reasons=list(member.reasons),
                image_url=image_url(base, collection, member.id),
            )
            for member in group.members
        ],
    )
