"""Who carries out the trainings that are asked for over HTTP."""

from __future__ import annotations

from typing import Protocol

from lookalike.errors import Conflict


class Trainer(Protocol):
    """Carries out trainings; their records are in the store (see `lookalike.training_jobs`)."""

    def check(self) -> None:
        """Raises Conflict where nothing can be trained."""

    def begin(self, collection: str, training_id: str) -> None:
        """A training has all that it needs: carry it out. Asked twice is asked once."""

    def cancel(self, collection: str, training_id: str) -> None:
        """A training's record says `cancel_requested`: end it, and write down that it ended."""


class NoTrainer:
    """Where nothing can be trained; what was trained can be looked at."""

    def check(self) -> None:
        """Refuse."""
        raise Conflict(
            "this server carries out no trainings",
            fix="Ask the `lookalike serve` that runs beside the store, or run `lookalike train`.",
        )

    def begin(self, collection: str, training_id: str) -> None:
        """Refuse."""
        self.check()

    def cancel(self, collection: str, training_id: str) -> None:
        """Nothing is under way here; whoever carries it out reads the record."""
