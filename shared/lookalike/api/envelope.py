"""What every response carries and every request passes: an id, safe headers, the guard of an open server."""

from __future__ import annotations

import ipaddress
import re
import uuid
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.api.problems import problem_response
from lookalike.errors import Forbidden

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class Envelope:
    """The outermost layer: whatever happens inside, a response with `X-Request-Id` comes out.

    With `loopback_only` (a server without keys, bound to loopback) it refuses names and origins that are
    not this machine: a page on the web can make a visitor's browser call 127.0.0.1, under its own name after
    DNS rebinding, or as a cross-site request.
    """

    def __init__(self, app: ASGIApp, *, loopback_only: bool) -> None:
        self._app = app
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def send_dressed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                dress = MutableHeaders(scope=message)
                dress["X-Request-Id"] = request_id
                for name, value in SAFE_HEADERS.items():
                    dress.setdefault(name, value)
            await send(message)

        try:
            if self._loopback_only:
                _require_loopback(headers)
            await self._app(scope, receive, send_dressed)
        except Exception as error:
            if started:
                raise  # too late for another answer; the server closes the connection
            await problem_response(Request(scope), error)(scope, receive, send_dressed)


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 §6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _require_loopback(headers: Headers) -> None:
    host = _host_of(f"//{headers.get('host', '')}")
    if not is_loopback(host):
        raise Forbidden(
            "a server without API keys answers to this machine's own names only",
            got=f"Host {headers.get('host', '')!r}",
            expected="localhost, 127.0.0.1 or [::1]",
            fix="Make an API key and serve with keys on.",
        )
    origin = headers.get("origin")
    if origin is not None and not is_loopback(_host_of(origin)):
        raise Forbidden("a page from elsewhere may not use this server", got=f"Origin {origin!r}")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
