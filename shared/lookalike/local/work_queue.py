"""A thread that does one kind of work for names, one at a time; asked twice before it begins: asked once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Lane:
    """Calls `work(name)` for each requested name, in the order of the first request.

    Args:
        title: of the thread.
        work: may take long; what it raises is logged, and forgotten.
        every_seconds: 0, or how often all of `names()` are requested without being asked for.
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
        self._title = title
        self._work = work
        self._every_seconds = every_seconds
        self._names = names or list
        self._condition = threading.Condition()
        self._waiting: dict[str, None] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=title, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def request(self, name: str) -> None:
        """Ask for work on `name`."""
        with self._condition:
            self._waiting[name] = None
            self._condition.notify()

    def close(self, timeout_seconds: float) -> None:
        """Finish what is under way, but begin nothing more."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (name := self._next()) is not None:
            try:
                self._work(name)
            except Exception:  # one collection's trouble must not end the work for the others
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
