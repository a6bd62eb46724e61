"""Images of items, as they were uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from lookalike.api.context import context_of
from lookalike.api.http.access import Reader
from lookalike.api.http.etag import matches_etag
from lookalike.api.http.openapi import problems
from lookalike.api.http.parameters import CollectionName, ItemId
from lookalike.errors import ImageTooLarge, ItemNotFound, ObjectNotFound
from lookalike.layout import check_item_id, image_key

if TYPE_CHECKING:
    from lookalike.library import Library

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
# Uploaded files must never run as a page of this origin, regardless of the type that a browser detects.
IMAGE_HEADERS = {
    "Cache-Control": "private, no-cache",  # kept, but revalidated: another image can get the same id
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The image, byte for byte as uploaded.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES},
        "headers": {"ETag": {"schema": {"type": "string"}}},
    },
    304: {"description": "The image still has the ETag of `If-None-Match`."},
    307: {
        "description": "The image is in the bucket, at the URL in `Location`, which expires.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    },
}


@dataclass(frozen=True, slots=True)
class StoredImage:
    """The bytes of an image file. `media_type` is None if browsers should not display it."""

    data: bytes
    etag: str
    media_type: str | None


@router.get(
    "/collections/{collection}/images/{id:path}",
    response_class=Response,
    responses={**RESPONSES, **problems(413)},
    summary="Get an item's image",
)
def get_image(request: Request, collection: CollectionName, id: ItemId, _: Reader) -> Response:
    """The bytes as they were uploaded or, on S3, a redirect to them."""
    library = context_of(request).library
    if library.images.can_sign:
        library.collections.get(collection)
        key = image_key(collection, check_item_id(id, collection))
        url = library.images.sign("GET", key, library.settings.url_seconds)
        return RedirectResponse(url, 307, headers={"Cache-Control": "private, no-store"})
    image = read_image(library, collection, id)
    headers = {**IMAGE_HEADERS, "ETag": image.etag}
    if matches_etag(request, image.etag):
        return Response(status_code=304, headers=headers)
    if image.media_type is None:
        headers["Content-Disposition"] = "attachment"
    return Response(image.data, headers=headers, media_type=image.media_type or UNKNOWN_TYPE)


def read_image(library: Library, collection: str, item_id: str) -> StoredImage:
    """The image of an item.

    Raises:
        CollectionNotFound, ItemNotFound: it does not exist.
        ImageTooLarge: it is too large to be an item.
    """
    library.collections.get(collection)
    key = image_key(collection, check_item_id(item_id, collection))
    if not has_image(library, key):
        raise ItemNotFound("no such image", got=repr(item_id))
    limit = library.settings.max_image_bytes
    blob = library.images.get_limited(key, limit)
    if blob is None:
        raise ImageTooLarge("too_many_bytes", "the image is too large", expected=f"at most {limit}")
    return StoredImage(blob.data, blob.etag, media_type(blob.data[:16]))


def has_image(library: Library, key: str) -> bool:
    """Whether the images root has an object of this key."""
    try:
        found = library.images.find(key)
        local = library.images.local_path(found) if found else None
        if local is not None:
            root = library.images.local_path("")
            # Listings follow no symbolic links to folders, so a name must not lead out through one.
            if root is None or not local.parent.resolve().is_relative_to(root.resolve()):
                return False
            return local.is_file()
        return found is not None
    except (ObjectNotFound, OSError):
        return False


def media_type(head: bytes) -> str | None:
    """Media type by the first bytes of a file; None for a file that a browser must not show as an image."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:12] in {b"ftypavif", b"ftypavis"}:
        return "image/avif"
    return None


_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)
