"""Limits on concurrent requests and on the memory of their bodies. Requests over a limit get 429."""

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


class RequestLimiter:
    """Runs up to `slots` requests at a time, lets `queue` more wait, and rejects the rest immediately.

    Waiting requests hold their bodies in memory, so all of them share one budget of bytes.
    For the single event loop of a server; not thread-safe.

    Args:
        slots: requests that run at the same time, each in a thread.
        queue: requests that may wait for a slot.
        inline: run in the event loop's own thread instead. With one slot no other search could use the
            time, and waking a thread on another processor costs a sixth of a query's time. Other requests
            wait in the meantime.
        budget_bytes: limit on the bodies in memory.
    """

    def __init__(
        self, slots: int, queue: int, *, inline: bool = False, budget_bytes: int = BODY_BUDGET_BYTES
    ) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._inline = inline
        self._free_places = slots + queue
        self._free_bytes = budget_bytes

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[RequestSlot]:
        """A slot, or a place in the queue for one. Raises Busy when the queue is full."""
        if self._free_places <= 0:
            raise Busy("too many requests are waiting", fix="Try again in a second.")
        self._free_places -= 1
        slot = RequestSlot(self)
        try:
            yield slot
        finally:
            self._free_places += 1
            self._free_bytes += slot.reserved_bytes


class RequestSlot:
    """One request that the limiter has accepted."""

    def __init__(self, limiter: RequestLimiter) -> None:
        self._limiter = limiter
        self.reserved_bytes = 0

    def reserve_bytes(self, count: int) -> None:
        """Take `count` more bytes from the memory budget. Raises Busy when it is used up."""
        if count > self._limiter._free_bytes:
            raise Busy("too many large requests are waiting", fix="Try again in a second.")
        self._limiter._free_bytes -= count
        self.reserved_bytes += count

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for a free slot, then return the result of `work`."""
        async with self._limiter._slots:
            if self._limiter._inline:
                return work(*args, **kwargs)
            return await run_in_threadpool(work, *args, **kwargs)
