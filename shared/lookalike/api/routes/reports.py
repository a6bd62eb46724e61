"""Reports over a whole collection."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from lookalike.api.access import Reader
from lookalike.api.answers import RejectionAnswer, RejectionsAnswer
from lookalike.api.openapi import problems
from lookalike.api.routes.parameters import CollectionName
from lookalike.api.routes.shapes import service_of

router = APIRouter(tags=["reports"])
MAX_PAGE = 1_000


@router.get("/collections/{collection}/rejections", responses=problems(), summary="List rejected uploads")
def rejections(
    request: Request,
    collection: CollectionName,
    _: Reader,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> RejectionsAnswer:
    """Objects that can never become items, and why. A shorter page than `limit` is the last."""
    found = service_of(request).rejections(collection, offset, limit)
    return RejectionsAnswer(
        collection=collection,
        offset=offset,
        rejections=[
            RejectionAnswer(id=each.id, reason=each.reason, message=each.message, at=each.at)
            for each in found
        ],
    )
