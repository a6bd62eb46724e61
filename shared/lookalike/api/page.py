"""The web page: its start file, the files that it loads, and the policy under which a browser runs them.

No API key is needed: the files hold nothing secret.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from lookalike.api.context import context_of
from lookalike.api.http.etag import matches_etag
from lookalike.errors import NotFound
from lookalike.storage import Store

router = APIRouter(include_in_schema=False)
FOLDER = "web"
START = "index.html"
VERSION_MARK = b"__VERSION__"
FOREVER = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
_STYLE_SPACES = re.compile(r" *([{};,]) *")
_SCRIPT_SPACES = re.compile(r" ?([=(){}\[\],;:?<>*&|!]+) ?")
_STRING = re.compile(r'("(?:[^"\\]|\\.)*")')
_OTHER_TEXT = re.compile(r"['`/]")
"""Begins a template, a string with quotes inside, a regular expression or a comment."""
MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page."""

    data: bytes
    media_type: str
    etag: str


@router.api_route("/", methods=["GET", "HEAD"])
def start(request: Request) -> Response:
    """The page."""
    policy = security_policy(context_of(request).library.images)
    headers = {"Content-Security-Policy": policy, "Permissions-Policy": "camera=(self)"}
    return _response(request, page_files()[START], REVALIDATE, headers)


@router.api_route("/web/{version}/{name}", methods=["GET", "HEAD"])
def page_file(request: Request, version: str, name: str) -> Response:
    """A script or a style sheet. Its path changes with its content, so browsers may cache it indefinitely."""
    found = page_files().get(name)
    if found is None:
        raise NotFound("the page has no such file", got=repr(name[:200]))
    return _response(request, found, FOREVER, {})


def _response(request: Request, file: PageFile, caching: str, more: dict[str, str]) -> Response:
    headers = {"Cache-Control": caching, "ETag": file.etag, **more}
    if matches_etag(request, file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.data, headers=headers, media_type=file.media_type)


@cache
def page_files() -> Mapping[str, PageFile]:
    """All files by name. The start file loads the others from a path that changes when any of them does."""
    found = {
        entry.name: compact(entry.name, entry.read_bytes())
        for entry in sorted(files("lookalike.api").joinpath(FOLDER).iterdir(), key=lambda entry: entry.name)
        if _suffix(entry.name) in MEDIA_TYPES
    }
    found[START] = found[START].replace(VERSION_MARK, _digest(b"".join(found.values())).encode())
    return {
        name: PageFile(data, MEDIA_TYPES[_suffix(name)], f'"{_digest(data)}"') for name, data in found.items()
    }


def compact(name: str, data: bytes) -> bytes:
    """A script or a style sheet without indentation, comments of whole lines and spaces that say nothing.

    Line numbers stay the same. No text in the scripts may have a line break, and none in the style sheet a
    space next to punctuation.
    """
    if _suffix(name) not in {".js", ".css"}:
        return data
    lines, in_comment = [], False
    for line in data.decode().split("\n"):
        bare = line.strip()
        in_comment = in_comment or bare.startswith("/**")
        is_comment = in_comment or (bare.startswith("//") and name.endswith(".js"))
        if in_comment and bare.endswith("*/"):
            in_comment = False
        lines.append("" if is_comment else _without_spaces(name, bare))
    return "\n".join(lines).encode()


def _without_spaces(name: str, line: str) -> str:
    """A line without spaces around punctuation, except in the strings of a script."""
    if name.endswith(".css"):
        return _STYLE_SPACES.sub(r"\1", line)
    if _OTHER_TEXT.search(line):
        return line
    pieces = _STRING.split(line)  # strings have the odd places
    return "".join(
        piece if place % 2 else _SCRIPT_SPACES.sub(r"\1", piece) for place, piece in enumerate(pieces)
    )


def security_policy(images: Store) -> str:
    """The Content-Security-Policy: nothing from other origins, except uploads to the signed bucket URL."""
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
