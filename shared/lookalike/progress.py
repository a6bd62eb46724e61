"""How long work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much (0: it cannot be counted)."""


def as_notes(progress: Progress | None) -> Callable[[str], None] | None:
    """The same for work whose steps cannot be counted: called with what is being done."""
    return None if progress is None else lambda text: progress(text, 0, 0)
