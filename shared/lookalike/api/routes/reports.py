"""Reports over a whole collection, page by page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from lookalike.api.access import Reader
from lookalike.api.answers import (
    DuplicateAnswer,
    DuplicatesAnswer,
    DuplicatesEntry,
    NeighborAnswer,
    NeighborsAnswer,
    NeighborsEntry,
    RejectionAnswer,
    RejectionsAnswer,
)
from lookalike.api.gate import Gate
from lookalike.api.openapi import problems
from lookalike.api.routes.parameters import CollectionName
from lookalike.api.routes.shapes import base_url, image_url, service_of

router = APIRouter(tags=["reports"])
MAX_PAGE = 1_000
MAX_NEIGHBORS_PAGE = 200
MAX_K = 100
Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="How many entries to pass over.")]


@router.get("/collections/{collection}/rejections", responses=problems(), summary="List rejected uploads")
def rejections(
    request: Request,
    collection: CollectionName,
    _: Reader,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> RejectionsAnswer:
    """Objects that can never become items, and why. A page shorter than `limit` is the last."""
    found = service_of(request).rejections(collection, offset, limit)
    return RejectionsAnswer(
        collection=collection,
        offset=offset,
        rejections=[
            RejectionAnswer(id=each.id, reason=each.reason, message=each.message, at=each.at)
            for each in found
        ],
    )


@router.get(
    "/collections/{collection}/neighbors", responses=problems(429), summary="List each item's neighbours"
)
async def neighbors(
    request: Request,
    collection: CollectionName,
    _: Reader,
    k: Annotated[int, Query(ge=1, le=MAX_K, description="Neighbours of each item.")] = 10,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_NEIGHBORS_PAGE)] = 50,
) -> NeighborsAnswer:
    """Items in a fixed order, each with its `k` nearest others. A page shorter than `limit` is the last."""
    gate: Gate = request.app.state.report_gate
    async with gate.admit() as place:
        page = await place.run(service_of(request).neighbors, collection, k, offset, limit)
    return NeighborsAnswer(
        collection=collection,
        encoder=page.encoder,
        snapshot=page.snapshot,
        k=k,
        offset=offset,
        items=[
            NeighborsEntry(
                id=entry.id,
                product_id=entry.product_id,
                neighbors=[
                    NeighborAnswer.model_validate(near, from_attributes=True) for near in entry.neighbors
                ],
            )
            for entry in page.entries
        ],
    )


@router.get(
    "/collections/{collection}/duplicates", responses=problems(429), summary="List groups of duplicates"
)
async def duplicates(
    request: Request,
    collection: CollectionName,
    _: Reader,
    min_score: Annotated[
        float, Query(gt=0, le=1, description="Least cosine similarity of two vectors to be linked.")
    ] = 0.95,
    max_hash_distance: Annotated[
        int, Query(ge=0, le=31, description="Most bits in which two perceptual hashes may differ.")
    ] = 31,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> DuplicatesAnswer:
    """Items linked by like vectors or like perceptual hashes, the largest group first.

    The first page looks at every item once, which takes a while; further pages come from memory.
    """
    gate: Gate = request.app.state.report_gate
    async with gate.admit() as place:
        groups = await place.run(service_of(request).duplicates, collection, min_score, max_hash_distance)
    base = base_url(request)
    return DuplicatesAnswer(
        collection=collection,
        total=len(groups),
        offset=offset,
        groups=[
            DuplicatesEntry(
                keep=group.keep,
                members=[
                    DuplicateAnswer(
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
            for group in groups[offset : offset + limit]
        ],
    )
