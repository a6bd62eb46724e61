"""The files of the web page, and the policy under which a browser runs them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

from lookalike.storage import Store

FOLDER = "web"
START = "index.html"
VERSION_MARK = b"__VERSION__"
MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent."""

    data: bytes
    media_type: str
    etag: str


@cache
def page_files() -> Mapping[str, PageFile]:
    """All files, by name. The start file names the others below a path that changes when any of them does."""
    found = {
        entry.name: entry.read_bytes()
        for entry in sorted(files("lookalike.api").joinpath(FOLDER).iterdir(), key=lambda entry: entry.name)
        if _suffix(entry.name) in MEDIA_TYPES
    }
    found[START] = found[START].replace(VERSION_MARK, _digest(b"".join(found.values())).encode())
    return {
        name: PageFile(data, MEDIA_TYPES[_suffix(name)], f'"{_digest(data)}"') for name, data in found.items()
    }


def security_policy(images: Store) -> str:
    """The Content-Security-Policy: nothing from elsewhere, but uploads to the bucket that signs for them."""
    signed = urlsplit(images.sign("PUT", "origin", 60)) if images.can_sign else None
    uploads = f" {signed.scheme}://{signed.netloc}" if signed else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            f"connect-src 'self'{uploads}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
