"""The record of a training kept up to date by whoever carries it out, and its cancellation heard of."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from lookalike.training_jobs.record import Status, Training, now_text
from lookalike.training_jobs.records import Trainings

if TYPE_CHECKING:
    from lookalike.progress import TrainingProgress

TELL_SECONDS = 1.0


class Teller(Protocol):
    """What the steps of a training speak to."""

    def say(self, message: str) -> None:
        """Add a line to the log."""

    def tell(self, status: Status, phase: str, done: int = 0, total: int = 0, **changes: Any) -> None:
        """Say where it stands."""

    def on_progress(self, news: TrainingProgress) -> None:
        """Say how far the trainer is."""

    def is_cancelled(self) -> bool:
        """Whether somebody asked for the end."""


class Telling:
    """A `Teller` that writes into the record and the log of one training.

    Args:
        book: the trainings of the collection.
        training_id: of the training.
    """

    def __init__(self, book: Trainings, training_id: str) -> None:
        self._book = book
        self._id = training_id
        self._told_at = -float("inf")
        self._told: tuple[Status, str] = ("queued", "")
        self._asked_at = -float("inf")
        self._cancelled = False

    def begin(self) -> Training:
        """Write down that it is under way, once more perhaps. Raises TrainingNotFound."""
        training = self._book.get(self._id)
        return self._book.update(
            self._id,
            status="running",
            started_at=training.started_at or now_text(),
            attempts=training.attempts + 1,
        )

    def say(self, message: str) -> None:
        """Add a line to the log."""
        self._book.say(self._id, message)

    def tell(self, status: Status, phase: str, done: int = 0, total: int = 0, **changes: Any) -> None:
        """Write down where it stands: at once when that is news, else now and then."""
        is_news = (status, phase) != self._told
        if is_news:
            self.say(f"{status}: {phase}")
        if not is_news and time.monotonic() - self._told_at < TELL_SECONDS:
            return
        self._told, self._told_at = (status, phase), time.monotonic()
        left = {"remaining_seconds": None} | changes
        self._book.update(self._id, status=status, phase=phase, done=done, total=total, **left)

    def on_progress(self, news: TrainingProgress) -> None:
        """Write down how far the trainer is."""
        changes: dict[str, Any] = {"remaining_seconds": news.remaining_seconds}
        if news.loss is not None:
            changes |= finite({"loss": news.loss})
        if news.metrics:
            changes["metrics"] = finite(news.metrics)
        self.tell("running", news.phase, news.done, news.total, **changes)

    def is_cancelled(self) -> bool:
        """Whether somebody asked for the end, or it has ended; looked up now and then."""
        if not self._cancelled and time.monotonic() - self._asked_at >= TELL_SECONDS:
            self._asked_at = time.monotonic()
            training = self._book.get(self._id)
            self._cancelled = training.cancel_requested or not training.is_active
        return self._cancelled


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Those numbers that are finite: JSON has no others."""
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
