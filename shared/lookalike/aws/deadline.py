"""Work under a deadline: Lambda kills a function at its time-out, and its response is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from lookalike.errors import LookalikeError

T = TypeVar("T")

Remaining = Callable[[], float]
"""Seconds until Lambda ends the function."""


class OutOfTime(LookalikeError):
    """The work did not finish in time. It may continue as long as the process runs."""


def remaining_of(context: Any) -> Remaining:
    """The clock in the context of an invocation."""
    return lambda: float(context.get_remaining_time_in_millis()) / 1_000


def within(seconds: float, work: Callable[[], T]) -> T:
    """Run `work` for at most `seconds`, and return its result.

    Late work continues in its thread, so running it twice must be safe, even concurrently.

    Raises:
        OutOfTime: it took too long.
        Exception: any error that `work` raises.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised again in the waiting thread
            errors.append(error)

    thread = threading.Thread(target=run, name="within", daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if errors:
        raise errors[0]
    if not results:
        raise OutOfTime("the time of this invocation is over", fix="The messages will be delivered again.")
    return results[0]
