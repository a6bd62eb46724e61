"""The Runtime API of Lambda, on a port of loopback: `awslambdaric` fetches its events here.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

`infra.booting` uses it to see whether an image's function starts; the AWS emulator of the tests invokes
functions through it.
"""

from __future__ import annotations

import json
import math
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from infra.loopback_server import LoopbackHandler, LoopbackServer

API = "/2018-06-01/runtime"
JSON = ("Content-Type", "application/json")


@dataclass
class Invocation:
    """One event and its response.

    Attributes:
        timeout_seconds: of the function. As on Lambda, it counts from when the process takes the event: the
            start of the process has its own limit.
        deadline: in seconds since the epoch; infinite until the event is taken.
    """

    body: bytes
    timeout_seconds: float
    deadline: float = math.inf
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    taken: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    answer: bytes = b""
    error: dict[str, Any] | None = None


class RuntimeApi:
    """The Runtime API of one process, on its own port.

    Attributes:
        ready_at: when the process requested its first event, in seconds since the epoch; None before.
        init_error: what the process reported if it could not load its handler.
    """

    def __init__(self, arn: str) -> None:
        self.arn = arn
        self.ready_at: float | None = None
        self.init_error: dict[str, Any] | None = None
        self._condition = threading.Condition()
        self._current: Invocation | None = None
        self._closing = False
        self._server = LoopbackServer(_handler_of(self))

    @property
    def address(self) -> str:
        """For the variable AWS_LAMBDA_RUNTIME_API."""
        return self._server.address

    def invoke(self, invocation: Invocation) -> None:
        """Offer an event to the process; `invocation.done` is set at its end."""
        with self._condition:
            self._current = invocation
            self._condition.notify_all()

    def next_invocation(self) -> Invocation | None:
        """Wait for the next event; None when this API closes."""
        with self._condition:
            self.ready_at = self.ready_at or time.time()
            while not self._closing and (self._current is None or self._current.taken):
                self._condition.wait()
            if self._closing or self._current is None:
                return None
            self._current.taken = True
            self._current.deadline = time.time() + self._current.timeout_seconds
            return self._current

    def take_result(self, path: str, body: bytes) -> bool:
        """Keep what the process posted to `path`; returns whether the path is known."""
        invocation = self._current
        if path == f"{API}/init/error":
            self.init_error = json.loads(body)
        elif invocation is not None and path == f"{API}/invocation/{invocation.id}/response":
            invocation.answer = body
            invocation.done.set()
        elif invocation is not None and path == f"{API}/invocation/{invocation.id}/error":
            invocation.error = json.loads(body)
            invocation.done.set()
        else:
            return False
        return True

    def close(self) -> None:
        """Stop serving; a process that waits for an event gets none."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        self._server.close()


def _handler_of(api: RuntimeApi) -> type[LoopbackHandler]:
    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802
            if self.path != f"{API}/invocation/next":
                self.respond(404, [JSON], b"{}")
                return
            invocation = api.next_invocation()
            if invocation is None:
                self.close_connection = True
                return
            headers = [
                ("Lambda-Runtime-Aws-Request-Id", invocation.id),
                ("Lambda-Runtime-Deadline-Ms", str(int(invocation.deadline * 1000))),
                ("Lambda-Runtime-Invoked-Function-Arn", api.arn),
                ("Lambda-Runtime-Trace-Id", _trace_header()),
                JSON,
            ]
            self.respond(200, headers, invocation.body)

        def do_POST(self) -> None:  # noqa: N802
            known = api.take_result(self.path, self.read_body())
            self.respond(*((202, [JSON], b'{"status":"OK"}') if known else (404, [JSON], b"{}")))

    return Handler


def _trace_header() -> str:
    return f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Parent={uuid.uuid4().hex[:16]};Sampled=1"
