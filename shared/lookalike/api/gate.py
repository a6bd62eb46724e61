"""Admission: how much work one process takes on before it says 429."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool

from lookalike.errors import Busy

BODY_BUDGET_BYTES = 256 * 1024 * 1024
P = ParamSpec("P")
T = TypeVar("T")


class Gate:
    """Lets `slots` requests work at once and `queue` more wait; the rest is refused at once.

    Waiting requests hold their bodies in memory, so these have one budget of bytes between them.
    For the one event loop of a server; not thread-safe.

    Args:
        slots: requests that work at the same time, each in a thread.
        queue: requests that wait for one.
        inline: work in the event loop's own thread instead. With one slot no other search could use the
            time, and waking a thread on another processor costs a query a sixth of its time. Whoever asks
            for something else meanwhile waits.
        budget_bytes: of bodies in memory.
    """

    def __init__(
        self, slots: int, queue: int, *, inline: bool = False, budget_bytes: int = BODY_BUDGET_BYTES
    ) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._inline = inline
        self._room = slots + queue
        self._budget_bytes = budget_bytes

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[Admission]:
        """A place in the queue. Raises Busy when there is none."""
        if self._room <= 0:
            raise Busy("too many requests are waiting already", fix="Try again in a second.")
        self._room -= 1
        admission = Admission(self)
        try:
            yield admission
        finally:
            self._room += 1
            self._budget_bytes += admission.held_bytes


class Admission:
    """One admitted request."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.held_bytes = 0

    def hold(self, count: int) -> None:
        """Account for `count` more bytes of body in memory. Raises Busy when the budget is spent."""
        if count > self._gate._budget_bytes:
            raise Busy("too many large requests are waiting already", fix="Try again in a second.")
        self._gate._budget_bytes -= count
        self.held_bytes += count

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` returns, once one of the slots is free."""
        async with self._gate._slots:
            if self._gate._inline:
                return work(*args, **kwargs)
            return await run_in_threadpool(work, *args, **kwargs)
