"""A worker thread with a deduplicating queue of collection names."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from lookalike.local.worker_thread import WorkerThread

logger = logging.getLogger(__name__)


class WorkQueue(WorkerThread):
    """Calls `work(name)` for each requested name, in the order of the first request.

    Args:
        title: name of the thread.
        work: may take long; what it raises is logged and not raised.
        every_seconds: 0, or the period with which all of `names()` are requested.
        names: see `every_seconds`.
    """

    def __init__(
        self,
        title: str,
        work: Callable[[str], None],
        *,
        every_seconds: float = 0.0,
        names: Callable[[], list[str]] | None = None,
    ) -> None:
        super().__init__(title)
        self._title = title
        self._work = work
        self._every_seconds = every_seconds
        self._names = names or list
        self._waiting: dict[str, None] = {}

    def request(self, name: str) -> None:
        """Add `name` to the queue, unless it is in it."""
        with self._condition:
            self._waiting[name] = None
            self._condition.notify()

    def _run(self) -> None:
        while (name := self._next()) is not None:
            try:
                self._work(name)
            except Exception:  # an error in one collection must not stop the others
                logger.exception("%s: %s failed", self._title, name)

    def _next(self) -> str | None:
        due = time.monotonic() + self._every_seconds
        with self._condition:
            while not self._closing:
                if self._waiting:
                    name = next(iter(self._waiting))
                    del self._waiting[name]
                    return name
                if not self._every_seconds:
                    self._condition.wait()
                elif not self._condition.wait(max(0.0, due - time.monotonic())):
                    self._waiting.update(dict.fromkeys(self._names()))
                    due = time.monotonic() + self._every_seconds
        return None
