"""Traces without the X-Ray SDK, which imports botocore and would double the time of a cold start.

A provider for Powertools' Tracer (https://docs.aws.amazon.com/powertools/python/latest/core/tracer/) that
sends subsegments to the X-Ray daemon, which on Lambda listens on UDP, in the documented form
(https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html).
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from aws_lambda_powertools.tracing.base import BaseProvider, BaseSegment

HEADER = b'{"format": "json", "version": 1}\n'
DAEMON = "AWS_XRAY_DAEMON_ADDRESS"
TRACE = "_X_AMZN_TRACE_ID"
DEFAULT_DAEMON = "127.0.0.1:2000"
MAX_DATAGRAM_BYTES = 60_000


class Subsegment(BaseSegment):
    """One span of time in a trace."""

    def __init__(self, name: str, trace_id: str, parent_id: str) -> None:
        self.id = secrets.token_hex(8)
        self.document: dict[str, Any] = {
            "name": name,
            "id": self.id,
            "trace_id": trace_id,
            "parent_id": parent_id,
            "type": "subsegment",
            "start_time": time.time(),
        }

    def close(self, end_time: int | None = None) -> None:
        """End the span now or at `end_time`."""
        self.document["end_time"] = end_time or time.time()

    def put_annotation(self, key: str, value: Any) -> None:
        """Add a value that traces can be searched by."""
        self.document.setdefault("annotations", {})[key] = value

    def put_metadata(self, key: str, value: Any, namespace: str = "default") -> None:
        """Add a value to show in a trace."""
        self.document.setdefault("metadata", {}).setdefault(namespace, {})[key] = value

    def add_exception(self, exception: BaseException, stack: Any = None, remote: bool = False) -> None:
        """Record the error that ended the span."""
        cause = {"message": str(exception)[:500], "type": type(exception).__name__, "remote": remote}
        self.document |= {"fault": True, "cause": {"exceptions": [{"id": secrets.token_hex(8), **cause}]}}

    def add_subsegment(self, subsegment: Any) -> None:
        """Do nothing: children are sent separately."""

    def remove_subsegment(self, subsegment: Any) -> None:
        """Do nothing: children are sent separately."""


class DaemonProvider(BaseProvider):
    """Sends each subsegment when it ends. A subsegment that cannot be sent is dropped; sending never
    blocks."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._open: ContextVar[Subsegment | None] = ContextVar("subsegment", default=None)

    @contextmanager
    def in_subsegment(self, name: str | None = None, **_: Any) -> Iterator[Subsegment]:
        """A span for the block, as a child of the open span."""
        trace = _trace_of(os.environ.get(TRACE, ""))
        above = self._open.get()
        span = Subsegment(name or "", trace.get("Root", ""), above.id if above else trace.get("Parent", ""))
        token = self._open.set(span)
        try:
            yield span
        finally:
            self._open.reset(token)
            span.close()
            if self._is_sampled(trace):
                self._send(span)

    @asynccontextmanager
    async def in_subsegment_async(self, name: str | None = None, **_: Any) -> AsyncIterator[Subsegment]:
        """The same for a coroutine."""
        with self.in_subsegment(name) as span:
            yield span

    def tell(self, name: str, began: float, ended: float) -> None:
        """Send a finished span of this or another thread; see `lookalike.timing`."""
        trace = _trace_of(os.environ.get(TRACE, ""))
        above = self._open.get()
        if self._is_sampled(trace):
            past = Subsegment(name, trace["Root"], above.id if above else trace.get("Parent", ""))
            past.document |= {"start_time": began, "end_time": ended}
            self._send(past)

    @staticmethod
    def _is_sampled(trace: Mapping[str, str]) -> bool:
        return trace.get("Sampled") == "1" and bool(trace.get("Root"))

    def put_annotation(self, key: str, value: Any) -> None:
        """Add a searchable value to the open span."""
        if span := self._open.get():
            span.put_annotation(key, value)

    def put_metadata(self, key: str, value: Any, namespace: str = "default") -> None:
        """Add a value to the open span."""
        if span := self._open.get():
            span.put_metadata(key, value, namespace)

    def patch(self, modules: Sequence[str]) -> None:
        """Do nothing: no library is instrumented."""

    def patch_all(self) -> None:
        """Do nothing: no library is instrumented."""

    def _send(self, span: Subsegment) -> None:
        document = json.dumps(span.document, default=str).encode()
        host, _, port = _daemon(os.environ.get(DAEMON, DEFAULT_DAEMON)).rpartition(":")
        if len(document) <= MAX_DATAGRAM_BYTES:
            with suppress(OSError, ValueError):
                self._socket.sendto(HEADER + document, (host, int(port)))


def _trace_of(header: str) -> dict[str, str]:
    """Parse `Root=…;Parent=…;Sampled=1`."""
    pairs = (part.partition("=") for part in header.split(";") if "=" in part)
    return {name.strip(): value for name, _, value in pairs}


def _daemon(address: str) -> str:
    """The daemon's UDP address, from `host:port` or `tcp:host:port udp:host:port`."""
    parts = address.split()
    return next((part.removeprefix("udp:") for part in parts if part.startswith("udp:")), parts[0])
