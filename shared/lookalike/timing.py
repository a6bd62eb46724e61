"""Spans of time that whoever wants to can be told of: traces in the cloud, benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, float, float], None]
"""Told of a span when it ends: its name, beginning and end (`time.time()`)."""

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Tell `listener` of all spans of this process from now on."""
    _listeners.append(listener)


@contextmanager
def span(name: str) -> Iterator[None]:
    """Tell the listeners, if there are any, how long the block took."""
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
