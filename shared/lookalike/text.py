"""Numbers and lists in sentences."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 5
"""How many names of a long list are shown."""


def listed(names: Sequence[str]) -> str:
    """The first few of `names`, and how many more there are."""
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"


def counted(number: int, noun: str) -> str:
    """`1 class`, `2 classes`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
