"""A proxy between functions and AWS that injects the faults of a network and of a service.

Point a function's endpoint variables at `url`. A plan decides for each request whether it fails. Forwarded
writes are counted, so that a test can kill a process right after its n-th write.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.aws_emulator import http_forwarder
from tests.aws_emulator.http_forwarder import HttpForwarder, Response

SENDING = "AmazonSQS.Send"
ERROR = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>injected</Message></Error>"
CODES = {403: b"AccessDenied", 500: b"InternalError", 503: b"SlowDown"}


@dataclass(frozen=True)
class Request:
    """What a plan sees of a request. `number` counts all of them, from 1."""

    number: int
    method: str
    path: str
    target: str

    @property
    def is_s3(self) -> bool:
        """Whether it is for S3; else it is for a service that speaks JSON."""
        return not self.target

    @property
    def is_write(self) -> bool:
        """Whether it changes anything."""
        if self.target:
            return self.target.startswith(SENDING)
        return self.method in {"PUT", "DELETE", "POST"}


@dataclass(frozen=True)
class Fault:
    """How a request fails.

    Attributes:
        kind: `status`: answered with an error, not forwarded. `slow`: forwarded after `seconds`.
            `cut`: forwarded, and the response is lost.
        status: of the error.
        seconds: of waiting.
    """

    kind: Literal["status", "slow", "cut"]
    status: int = 503
    seconds: float = 0.0


Plan = Callable[[Request], Fault | None]


def no_fault(_: Request) -> Fault | None:
    """Forward everything."""
    return None


class FaultyProxy:
    """Forwards requests to `target`, a URL, from its construction to the end of the block.

    Attributes:
        plan: may be changed at any time.
        after_write: called with the number of writes so far, after AWS has done a write and before the
            client gets its response.
        requests, writes, injected: how many requests came, were forwarded writes, and failed by plan.
    """

    def __init__(self, target: str) -> None:
        self.plan: Plan = no_fault
        self.after_write: Callable[[int], None] = lambda _: None
        self.writes = 0
        self.requests = 0
        self.injected = 0
        self._lock = threading.Lock()
        self._forwarder = HttpForwarder(target, self._handle)

    @property
    def url(self) -> str:
        """What clients call instead of `target`."""
        return self._forwarder.url

    def __enter__(self) -> FaultyProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._forwarder.close()

    def _handle(self, incoming: http_forwarder.Request) -> Response | None:
        request, fault = self._planned(incoming)
        if fault and fault.kind == "status":
            return Response(fault.status, (("Content-Type", "application/xml"),), ERROR % CODES[fault.status])
        if fault and fault.kind == "slow":
            time.sleep(fault.seconds)
        response = self._forwarder.forward(incoming)
        self._count_write(request)
        return None if fault and fault.kind == "cut" else response

    def _planned(self, incoming: http_forwarder.Request) -> tuple[Request, Fault | None]:
        with self._lock:
            self.requests += 1
            request = Request(self.requests, incoming.method, incoming.path, incoming.target)
            fault = self.plan(request)
            self.injected += fault is not None
            return request, fault

    def _count_write(self, request: Request) -> None:
        if request.is_write:
            with self._lock:
                self.writes += 1
                self.after_write(self.writes)


def paths(pattern: str, fault: Fault, *, methods: str = "GET|HEAD|PUT|POST|DELETE") -> Plan:
    """A plan: `fault` for S3 requests whose path contains `pattern`."""

    def plan(request: Request) -> Fault | None:
        hit = request.is_s3 and re.fullmatch(methods, request.method) and re.search(pattern, request.path)
        return fault if hit else None

    return plan
