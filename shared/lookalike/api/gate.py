"""Admission: how much work one process takes on before it says 429."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lookalike.errors import Busy

BODY_BUDGET_BYTES = 256 * 1024 * 1024


class Gate:
    """Lets `slots` requests work at once and `queue` more wait; the rest is refused at once.

    Waiting requests hold their bodies in memory, so these have one budget of bytes between them.
    For the one event loop of a server; not thread-safe.
    """

    def __init__(self, slots: int, queue: int, *, budget_bytes: int = BODY_BUDGET_BYTES) -> None:
        self._slots = asyncio.Semaphore(slots)
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

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """One of the slots, as soon as it is free."""
        async with self._gate._slots:
            yield
