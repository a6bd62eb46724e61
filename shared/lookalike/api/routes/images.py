"""The pictures themselves."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from lookalike.api.access import Reader
from lookalike.api.openapi import problems
from lookalike.api.routes.parameters import CollectionName, ItemId
from lookalike.api.routes.shapes import service_of

router = APIRouter(tags=["images"])
UNKNOWN_TYPE = "application/octet-stream"
MEDIA_TYPES = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "image/bmp",
    "image/tiff",
    "image/avif",
    UNKNOWN_TYPE,
)
# What users uploaded must never run as a page of this origin, whatever a browser takes it for.
HEADERS = {
    "Cache-Control": "private, no-cache",  # kept, but asked about: an id can get another picture
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture, byte for byte as uploaded.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES},
        "headers": {"ETag": {"schema": {"type": "string"}}},
    },
    304: {"description": "The picture still has the ETag of `If-None-Match`."},
    307: {
        "description": "The picture is at another place; the URL in `Location` runs out.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    },
}


@router.get(
    "/collections/{collection}/images/{id:path}",
    response_class=Response,
    responses={**ANSWERS, **problems(413)},
    summary="Get an item's picture",
)
def get_image(request: Request, collection: CollectionName, id: ItemId, _: Reader) -> Response:
    """The bytes as they were uploaded, or, on S3, a redirect to them."""
    service = service_of(request)
    if service.images.can_sign:
        return RedirectResponse(
            service.picture_url(collection, id), 307, headers={"Cache-Control": "private, no-store"}
        )
    picture = service.picture(collection, id)
    headers = {**HEADERS, "ETag": picture.etag}
    if has_tag(request.headers.get("if-none-match", ""), picture.etag):
        return Response(status_code=304, headers=headers)
    if picture.media_type is None:
        headers["Content-Disposition"] = "attachment"
    return Response(picture.data, headers=headers, media_type=picture.media_type or UNKNOWN_TYPE)


def has_tag(if_none_match: str, etag: str) -> bool:
    """Whether a request has this answer already (RFC 9110 §13.1.2: weak comparison with a list, or `*`)."""
    given = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in given or "*" in given
