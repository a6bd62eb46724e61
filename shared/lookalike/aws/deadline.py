"""Work under a deadline: Lambda ends a function that is late, with all that it would have answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from lookalike.errors import LookalikeError

T = TypeVar("T")

Remaining = Callable[[], float]
"""Seconds until the function is ended."""


class OutOfTime(LookalikeError):
    """The work was not done in time. It may still go on, for as long as the process lives."""


def remaining_of(context: Any) -> Remaining:
    """The clock in the context of an invocation."""
    return lambda: float(context.get_remaining_time_in_millis()) / 1_000


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns, unless that takes longer than `seconds`.

    Work that is late is left to itself in its thread, so it must bear to be done twice, even at once.

    Raises:
        OutOfTime: it took too long.
        Exception: whatever `work` raises.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised again where somebody waits for it
            errors.append(error)

    thread = threading.Thread(target=run, name="within", daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if errors:
        raise errors[0]
    if not results:
        raise OutOfTime("the time of this invocation is over", fix="The messages come again.")
    return results[0]
