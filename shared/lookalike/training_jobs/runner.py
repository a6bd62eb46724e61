"""The interface between the API and what runs trainings."""

from __future__ import annotations

from typing import Protocol

from lookalike.errors import Conflict


class TrainingRunner(Protocol):
    """Runs trainings. Their records are in the store (see `lookalike.training_jobs`)."""

    def check(self) -> None:
        """Raise Conflict if no training can run here."""

    def begin(self, collection: str, training_id: str) -> None:
        """Run a training whose source is complete. A second call for the same training has no effect."""

    def cancel(self, collection: str, training_id: str) -> None:
        """Stop a training whose record has `cancel_requested`, and record that it ended."""


class NoTrainingRunner:
    """The trainer of a server that runs no trainings. Their records can still be read."""

    def check(self) -> None:
        """Refuse."""
        raise Conflict(
            "this server does not run trainings",
            fix="Use the `lookalike serve` process of this store, or run `lookalike train`.",
        )

    def begin(self, collection: str, training_id: str) -> None:
        """Refuse."""
        self.check()

    def cancel(self, collection: str, training_id: str) -> None:
        """Do nothing: the process that runs the training reads its record."""
