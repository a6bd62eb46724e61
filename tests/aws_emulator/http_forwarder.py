"""A proxy on loopback that passes requests on to a server; its handler decides what happens to each one."""

from __future__ import annotations

import http.client
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

from infra.loopback_server import LoopbackHandler, LoopbackServer

TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Request:
    """A request as it arrived. `path` is not decoded and includes the query string."""

    method: str
    path: str
    headers: Message[str, str]
    body: bytes

    @property
    def target(self) -> str:
        """`Service.Action` of a service that speaks JSON; empty for S3 and REST."""
        return str(self.headers.get("X-Amz-Target", ""))


@dataclass(frozen=True)
class Response:
    """A response to send."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


Handler = Callable[[Request], Response | None]
"""Answers a request, usually by `HttpForwarder.forward`; None closes the connection without a response."""


class HttpForwarder:
    """Listens from its construction until `close`.

    Args:
        target: URL of the server that `forward` calls; may be set later.
        handler: called for each request, in a thread of its own; None: every request is forwarded.

    Attributes:
        resets: how many requests came through a connection that was lost.
    """

    def __init__(self, target: str = "", handler: Handler | None = None) -> None:
        self.target = target
        self.handle: Handler = handler or self.forward
        self.resets = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._lost: set[socket.socket] = set()
        self._server = LoopbackServer(_handler_of(self))

    @property
    def url(self) -> str:
        """What clients call instead of `target`."""
        return f"http://{self._server.address}"

    @property
    def port(self) -> int:
        """Of `url`."""
        return int(self._server.server_address[1])

    def forward(self, request: Request) -> Response:
        """The target's response."""
        address = urlsplit(self.target)
        # A new connection each time: the server may close a kept one just when it is used again.
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=TIMEOUT_SECONDS)
        try:
            headers = _end_to_end(request.headers)
            connection.request(request.method, request.path, body=request.body or None, headers=headers)
            answer = connection.getresponse()
            return Response(answer.status, tuple(answer.getheaders()), answer.read())
        finally:
            connection.close()

    # Connections

    def cut_connections(self) -> int:
        """Close all connections as a server closes idle ones. Returns how many there were."""
        with self._lock:
            for connection in self._open:
                connection.shutdown(socket.SHUT_RDWR)
            return len(self._open)

    def lose_connections(self) -> int:
        """Forget all connections, without a packet: each answers the next request with a reset.

        So does a server whose closing packets did not arrive. Returns how many there were.
        """
        with self._lock:
            self._lost |= self._open
            return len(self._open)

    def opened(self, connection: socket.socket) -> None:
        """A client connected."""
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """A client's connection ended."""
        with self._lock:
            self._open.discard(connection)
            self._lost.discard(connection)

    def reset_if_lost(self, connection: socket.socket) -> bool:
        """Reset a connection that was lost. Returns whether it was."""
        with self._lock:
            if connection not in self._lost:
                return False
            self.resets += 1
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.detach())  # the handler's files would keep it open
        return True

    def __enter__(self) -> HttpForwarder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._server.close()


def _end_to_end(headers: Mapping[str, Any] | Message[str, str]) -> dict[str, str]:
    # The body was read as a whole; http.client writes its length, and sends it without asking.
    dropped = {"connection", "transfer-encoding", "expect"}
    return {name: str(value) for name, value in headers.items() if name.lower() not in dropped}


def _handler_of(forwarder: HttpForwarder) -> type[LoopbackHandler]:
    class Handler(LoopbackHandler):
        def setup(self) -> None:
            super().setup()
            forwarder.opened(self.connection)

        def finish(self) -> None:
            forwarder.closed(self.connection)
            super().finish()

        def _serve(self) -> None:
            if forwarder.reset_if_lost(self.connection):
                self.close_connection = True
                return
            request = Request(self.command, self.path, self.headers, self.read_body())
            response = forwarder.handle(request)
            if response is None:
                self.close_connection = True
                self.connection.close()
            else:
                self.respond(response.status, response.headers, response.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    return Handler
