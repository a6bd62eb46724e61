"""The web page: one start file, and the files that it names. No key is needed: there is nothing secret."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from lookalike.api.page import START, PageFile, page_files, security_policy
from lookalike.api.routes.images import has_tag
from lookalike.api.routes.shapes import service_of
from lookalike.errors import NotFound

router = APIRouter(include_in_schema=False)
FOREVER = "public, max-age=31536000, immutable"
ASK_FIRST = "no-cache"


@router.api_route("/", methods=["GET", "HEAD"])
def start(request: Request) -> Response:
    """The page."""
    policy = security_policy(service_of(request).images)
    headers = {"Content-Security-Policy": policy, "Permissions-Policy": "camera=(self)"}
    return _sent(request, page_files()[START], ASK_FIRST, headers)


@router.api_route("/web/{version}/{name}", methods=["GET", "HEAD"])
def page_file(request: Request, version: str, name: str) -> Response:
    """A script or a style. Its path names the content, so it may be kept for good."""
    found = page_files().get(name)
    if found is None:
        raise NotFound("the page has no such file", got=repr(name[:200]))
    return _sent(request, found, FOREVER, {})


def _sent(request: Request, file: PageFile, caching: str, more: dict[str, str]) -> Response:
    headers = {"Cache-Control": caching, "ETag": file.etag, **more}
    if has_tag(request.headers.get("if-none-match", ""), file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.data, headers=headers, media_type=file.media_type)
