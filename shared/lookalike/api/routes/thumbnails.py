"""Small pictures, for pages that show many."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from lookalike.api.access import Reader
from lookalike.api.gate import Gate
from lookalike.api.openapi import problems
from lookalike.api.routes.images import HEADERS, has_tag
from lookalike.api.routes.parameters import CollectionName, ItemId
from lookalike.api.thumbnails import Thumbnails

router = APIRouter(tags=["images"])
FRESH_SECONDS = 60
Side = Literal["64", "160", "320", "960"]
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture, upright and small.",
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
        "headers": {"ETag": {"schema": {"type": "string"}}},
    },
    304: {"description": "The picture still has the ETag of `If-None-Match`."},
}


@router.get(
    "/collections/{collection}/thumbnails/{id:path}",
    response_class=Response,
    responses={**ANSWERS, **problems(413, 429)},
    summary="Get a small JPEG of an item's picture",
)
async def get_thumbnail(
    request: Request,
    collection: CollectionName,
    id: ItemId,
    _: Reader,
    side: Annotated[Side, Query(description="Its longer side in pixels, at most.")] = "320",
) -> Response:
    """Upright, in sRGB, never larger than the picture itself."""
    thumbnails: Thumbnails = request.app.state.thumbnails
    gate: Gate = request.app.state.thumbnail_gate
    async with gate.admit() as place:
        picture = await place.run(thumbnails.get, collection, id, int(side))
    headers = {**HEADERS, "Cache-Control": f"private, max-age={FRESH_SECONDS}", "ETag": picture.etag}
    if has_tag(request.headers.get("if-none-match", ""), picture.etag):
        return Response(status_code=304, headers=headers)
    return Response(picture.data, headers=headers, media_type=picture.media_type)
