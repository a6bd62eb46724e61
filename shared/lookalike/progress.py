"""How long-running work reports its progress. Every layer uses these two definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Progress = Callable[[str, int, int], None]
"""Called with a short name of the phase, the steps done, and the steps in total (0: unknown)."""


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The progress of a training.

    Attributes:
        phase: short name of the current phase.
        done, total: steps of this phase; 0 of 0 if they cannot be counted.
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
