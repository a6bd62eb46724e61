"""Notes the requests that a process sends to S3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

from tests.aws_emulator.http_forwarder import HttpForwarder, Request, Response


@dataclass
class Recorder:
    """Between a reader and S3: notes requests and their status.

    Attributes:
        seen: `METHOD key status`, for a listing the prefix instead of the key.
        after: called with each request when S3 has answered it, before the reader gets the answer.
    """

    server: str
    seen: list[str] = field(default_factory=list)
    after: Callable[[Request], None] = lambda _: None

    def __post_init__(self) -> None:
        self.forwarder = HttpForwarder(self.server, self._handle)

    @property
    def url(self) -> str:
        return self.forwarder.url

    def taken(self) -> list[str]:
        """What was seen since the last call."""
        found, self.seen = self.seen, []
        return found

    def _handle(self, request: Request) -> Response:
        response = self.forwarder.forward(request)
        path, _, query = unquote(request.path).partition("?")
        key = path.split("/", 2)[-1]
        if "prefix=" in query:
            key = f"list {query.split('prefix=')[1].split('&')[0]}"
        self.seen.append(f"{request.method} {key} {response.status}")
        self.after(request)
        return response
