"""How long the rest of a phase will take."""

from __future__ import annotations

import time


class Pace:
    """Estimates the remaining time of a phase from the part that this process has done."""

    def __init__(self) -> None:
        self._phase = ""

    def left(self, phase: str, done: int, total: int) -> float | None:
        """Seconds; None if there is no estimate yet."""
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._first, self._began = phase, done, now
        if done >= total:
            return 0.0
        fresh = done - self._first
        return (now - self._began) / fresh * (total - done) if fresh else None
