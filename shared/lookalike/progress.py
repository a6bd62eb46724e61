"""How work that takes long reports how far it is. Every layer uses these two definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Progress = Callable[[str, int, int], None]
"""Called with the phase in a few words, how much of it is done, and of how much (0: unknown)."""


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far a training is.

    Attributes:
        phase: what it does now, in a few words.
        done, total: steps of this phase; 0 of 0 where they cannot be counted.
        remaining_seconds: of this phase; None if unknown.
        loss: of the last batch or epoch.
        metrics: `recall_at_1` and `map_at_r` on validation images, after an epoch.
    """

    phase: str
    done: int = 0
    total: int = 0
    remaining_seconds: float | None = None
    loss: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


def as_notes(progress: Progress | None) -> Callable[[str], None] | None:
    """The same for work whose steps cannot be counted: called with what is being done."""
    return None if progress is None else lambda text: progress(text, 0, 0)
