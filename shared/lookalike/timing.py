"""Named time spans with listeners, for traces on AWS and for benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, float, float], None]
"""Called when a span ends, with its name, start and end (`time.time()`)."""

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Call `listener` for all later spans of this process."""
    _listeners.append(listener)


@contextmanager
def span(name: str) -> Iterator[None]:
    """Report to the listeners how long the block took."""
    if not _listeners:
        yield
        return
    began = time.time()
    try:
        yield
    finally:
        ended = time.time()
        for listener in _listeners:
            listener(name, began, ended)
