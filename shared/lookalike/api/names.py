"""Names of `lookalike.layout` under those that the API imports, and media types by content."""

from __future__ import annotations

from lookalike.layout import (
    IMAGES_FOLDER,
    MAX_ID_BYTES,
    MAX_KEY_BYTES,
    METADATA_FOLDER,
    STAGING_FOLDER,
    TEMPORARY_SUFFIX,
    TRAINING_FOLDER,
    check_file_names,
    check_item_id,
    image_key,
)
from lookalike.layout import check_item_id as check_stored_id
from lookalike.layout import upload_metadata_key as metadata_key

STAGING_SUFFIX = TEMPORARY_SUFFIX

__all__ = [
    "IMAGES_FOLDER",
    "MAX_ID_BYTES",
    "MAX_KEY_BYTES",
    "METADATA_FOLDER",
    "STAGING_FOLDER",
    "STAGING_SUFFIX",
    "TRAINING_FOLDER",
    "check_file_names",
    "check_item_id",
    "check_stored_id",
    "image_key",
    "media_type",
    "metadata_key",
]


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
