"""Conditional requests."""

from __future__ import annotations

from fastapi import Request


def matches_etag(request: Request, etag: str) -> bool:
    """Whether the caller already has this response.

    `If-None-Match` is compared weakly with a list of ETags, or is `*` (RFC 9110 §13.1.2).
    """
    given = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in given or "*" in given
