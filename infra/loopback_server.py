"""An HTTP/1.1 server on a free port of loopback, for the Runtime API and for the AWS emulator of the
tests."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# These headers describe one connection, or are written by the server itself.
HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "date", "server", "keep-alive"})


class LoopbackServer(ThreadingHTTPServer):
    """Serves requests with `handler` from its construction until `close`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[LoopbackHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore broken connections: tests kill clients."""

    def close(self) -> None:
        """Stop serving and release the port."""
        self.shutdown()
        self.server_close()


class LoopbackHandler(BaseHTTPRequestHandler):
    """Reads bodies and writes responses; subclasses add `do_GET` and so on."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: two would wait 40 ms for an acknowledgement
    disable_nagle_algorithm = True

    def handle_expect_100(self) -> bool:
        """Answer at once, not with the response: boto3 waits up to a second before it sends a body."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def log_message(self, format: str, *args: Any) -> None:
        """Write no access log."""

    def read_body(self) -> bytes:
        """The request's body, decoded if it comes in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def respond(self, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        """Send a complete response. Hop-by-hop headers among `headers` are dropped."""
        given = list(headers)
        self.send_response(status)
        for name, value in given:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        length = str(len(body))
        if self.command == "HEAD":  # it has the length that a GET would have, and no body
            length = next((value for name, value in given if name.lower() == "content-length"), "0")
        if status not in {204, 304}:
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
