"""A worker thread that ends when its current work is done."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod


class WorkerThread(ABC):
    """A daemon thread; `_run` loops until `_closing` and waits on `_condition` for work."""

    def __init__(self, title: str) -> None:
        self._condition = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=title, daemon=True)

    def start(self) -> None:
        """Start working."""
        self._thread.start()

    def close(self, timeout_seconds: float) -> None:
        """Finish the current work, start no more, and wait for the end of the thread, if it was started."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    @abstractmethod
    def _run(self) -> None: ...
