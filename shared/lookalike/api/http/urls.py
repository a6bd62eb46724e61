"""URLs of this API, as the caller sees them."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Request


def base_url(request: Request) -> str:
    """The URL under which the caller reaches this API, without a slash at its end."""
    return str(request.base_url).rstrip("/")


def image_url(base: str, collection: str, item_id: str) -> str:
    """The URL of an item's image."""
    return f"{base}/collections/{collection}/images/{quote(item_id)}"
