"""Outermost middleware: request ids, security headers, and the checks of a server without API keys."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import uuid
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.api.http.problems import problem_response
from lookalike.errors import Forbidden

REQUEST_ID = re.compile(r"[A-Za-z0-9._=-]{1,64}")  # those of API Gateway end in "="
LINGER_SECONDS = 1.0
DRAINED_BYTES = 256 * 1024
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class Envelope:
    """Adds `X-Request-Id` to every response, and turns every exception into a response.

    With `loopback_only` (a server without keys, bound to loopback) it rejects host names and origins that
    are not this machine. Otherwise a web page could make a visitor's browser call 127.0.0.1: under the
    page's own name after DNS rebinding, or as a cross-site request.
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
        exchange = _Exchange(receive, send, request_id, drained=not _has_long_body(headers))
        try:
            if self._loopback_only:
                _require_loopback(headers)
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            if exchange.started:
                raise  # too late for another response; the server closes the connection
            await problem_response(Request(scope), error)(scope, exchange.receive, exchange.send)


class _Exchange:
    """One request and its response."""

    def __init__(self, receive: Receive, send: Send, request_id: str, *, drained: bool) -> None:
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._drained = drained
        self.started = False

    async def receive(self) -> Message:
        """Forward a part of the request."""
        message = await self._receive()
        self._drained = self._drained or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Forward a part of the response, with our headers."""
        if message["type"] == "http.response.start":
            self._add_headers(message)
        elif not self._drained and not message.get("more_body", False):
            # If the connection closes while the client still sends, the client loses the response.
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    def _add_headers(self, start: Message) -> None:
        self.started = True
        headers = MutableHeaders(scope=start)
        headers["X-Request-Id"] = self._request_id
        for name, value in SAFE_HEADERS.items():
            headers.setdefault(name, value)
        if not self._drained:
            # Otherwise the server would read the rest of the body and discard it.
            headers["Connection"] = "close"

    async def _linger(self) -> None:
        """Keep reading for a moment, so that the client can read the response (RFC 9112 §9.6)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (await self._receive()).get("more_body", False):
                    pass


def _has_long_body(headers: Headers) -> bool:
    announced = headers.get("content-length", "")
    if announced.isdigit():
        return int(announced) > DRAINED_BYTES
    return "transfer-encoding" in headers


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
            "a server without API keys accepts only this machine's own names",
            got=f"Host {headers.get('host', '')!r}",
            expected="localhost, 127.0.0.1 or [::1]",
            fix="Create an API key and require keys.",
        )
    origin = headers.get("origin")
    if origin is not None and not is_loopback(_host_of(origin)):
        raise Forbidden("pages of other origins are not allowed to use this server", got=f"Origin {origin!r}")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
