"""Thumbnails: small JPEG files of items, made on the first request and cached in memory."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from lookalike.api.context import Context, context_of
from lookalike.api.http.access import Reader
from lookalike.api.http.etag import matches_etag
from lookalike.api.http.openapi import problems
from lookalike.api.http.parameters import CollectionName, ItemId
from lookalike.api.images import IMAGE_HEADERS, StoredImage, read_image
from lookalike.errors import ObjectNotFound
from lookalike.layout import image_key

if TYPE_CHECKING:
    from lookalike.library import Library
    from lookalike.settings import Settings

router = APIRouter(tags=["images"])
FRESH_SECONDS = 60
JPEG_QUALITY = 82
Side = Literal["64", "160", "320", "960"]
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The image, upright and scaled down.",
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
        "headers": {"ETag": {"schema": {"type": "string"}}},
    },
    304: {"description": "The image still has the ETag of `If-None-Match`."},
}


@router.get(
    "/collections/{collection}/thumbnails/{id:path}",
    response_class=Response,
    responses={**RESPONSES, **problems(413, 429)},
    summary="Get a small JPEG of an item's image",
)
async def get_thumbnail(
    request: Request,
    collection: CollectionName,
    id: ItemId,
    _: Reader,
    side: Annotated[Side, Query(description="Maximum length of the longer side, in pixels.")] = "320",
) -> Response:
    """Upright, in sRGB, never larger than the original."""
    context = context_of(request)
    async with context.limiters.thumbnails.slot() as slot:
        image = await slot.run(_thumbnail, context, collection, id, int(side))
    headers = {**IMAGE_HEADERS, "Cache-Control": f"private, max-age={FRESH_SECONDS}", "ETag": image.etag}
    if matches_etag(request, image.etag):
        return Response(status_code=304, headers=headers)
    return Response(image.data, headers=headers, media_type=image.media_type)


def _thumbnail(context: Context, collection: str, item_id: str, side: int) -> StoredImage:
    key = (collection, item_id, side)
    known = context.thumbnails.get(key)
    if known is not None and known[0] == _etag(context.library, collection, item_id):
        return known[1]
    original = read_image(context.library, collection, item_id)
    etag = hashlib.sha256(f"{original.etag} {side}".encode()).hexdigest()[:24]
    thumbnail = StoredImage(_scaled(original.data, side, context.library.settings), f'"{etag}"', "image/jpeg")
    context.thumbnails.put(key, original.etag, thumbnail)
    return thumbnail


def _etag(library: Library, collection: str, item_id: str) -> str | None:
    """The ETag of the stored image; None if it is gone, which `read_image` then reports."""
    try:
        return library.images.head(image_key(collection, item_id)).etag
    except ObjectNotFound:
        return None


def _scaled(data: bytes, side: int, settings: Settings) -> bytes:
    """An image as JPEG, with at most `side` pixels on its longer side. Raises ImageRejected."""
    from PIL import Image

    from lookalike.images import ImageLimits, decode

    decoded = decode(data, ImageLimits.from_settings(settings), min_side=side)
    left, top, right, bottom = (round(edge) for edge in decoded.content)
    image = decoded.image.crop((left, top, right, bottom))
    # Not thumbnail(), which changes the image in place: `image` may be shared.
    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    target = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(target, "JPEG", quality=JPEG_QUALITY)
    return target.getvalue()
