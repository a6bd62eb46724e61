"""Where a training reports its progress: `ProgressSink`, and the one that writes into the record."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lookalike.progress import Progress, TrainingProgress
from lookalike.training_jobs.records import Status, Training, Trainings, now_text

if TYPE_CHECKING:
    from lookalike.encoders import EncoderManifest
    from lookalike.publishing import Comparison
    from lookalike.training.child import TrainingResult
    from lookalike.training.sources.dataset import Dataset

UPDATE_SECONDS = 1.0
"""Minimum interval between two updates of the record in one phase."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained encoder that is in the library, the data set and result it comes from, and its run folder."""

    dataset: Dataset
    result: TrainingResult
    manifest: EncoderManifest
    run: Path


class ProgressSink(Protocol):
    """What the workflow of a training reports to."""

    def log(self, message: str) -> None:
        """Add a line to the log."""

    def report(self, progress: TrainingProgress, status: Status | None = "running") -> None:
        """Report the progress of the training. Status None: unchanged."""

    def prepared(self, dataset: Dataset, *, resumed: bool) -> None:
        """The data set is complete; `resumed`: it is from an earlier attempt."""

    def trained(self, trained: Trained) -> None:
        """The encoder is trained and registered."""

    def compared(self, comparison: Comparison) -> None:
        """The encoder was compared with the one in use."""

    def is_cancelled(self) -> bool:
        """Whether the training should stop. The workflow calls this often."""


class CallbackSink:
    """Hands the progress of a training to one function; for trainings without a record.

    Args:
        progress: see `lookalike.progress`; None: nothing is reported.
        cancelled: whether to stop the training; None: never.
    """

    def __init__(self, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None) -> None:
        self._progress = progress
        self._cancelled = cancelled

    def log(self, message: str) -> None:
        """Report a line."""
        if self._progress:
            self._progress(message, 0, 0)

    def report(self, progress: TrainingProgress, status: Status | None = "running") -> None:
        """Report the progress of the training."""
        if self._progress:
            self._progress(progress.phase, progress.done, progress.total)

    def prepared(self, dataset: Dataset, *, resumed: bool) -> None:
        """Report what was left out of the source."""
        for note in dataset.notes:
            self.log(note)

    def trained(self, trained: Trained) -> None:
        """Report the new encoder."""
        self.log(f"trained {trained.manifest.id}")

    def compared(self, comparison: Comparison) -> None:
        """Report the comparison."""
        self.log(comparison.sentence)

    def is_cancelled(self) -> bool:
        """Whether the training should stop."""
        return self._cancelled is not None and self._cancelled()


class RecordSink:
    """Writes into the record and the log of one training.

    Args:
        trainings: of the collection.
        training_id: of the training.
    """

    def __init__(self, trainings: Trainings, training_id: str) -> None:
        self._trainings = trainings
        self._id = training_id
        self._reported_at = -float("inf")
        self._reported: tuple[Status, str] = ("queued", "")
        self._checked_at = -float("inf")
        self._cancelled = False

    def begin(self) -> Training:
        """Mark the training as running, and count the attempt. Raises TrainingNotFound."""
        training = self._trainings.get(self._id)
        return self._trainings.update(
            self._id,
            status="running",
            started_at=training.started_at or now_text(),
            attempts=training.attempts + 1,
        )

    def log(self, message: str) -> None:
        """Add a line to the log."""
        self._trainings.log_line(self._id, message)

    def report(self, progress: TrainingProgress, status: Status | None = "running") -> None:
        """Update the record: at once when status or phase change, else once a second at most."""
        status = status or self._reported[0]
        changed = (status, progress.phase) != self._reported
        if changed:
            self.log(f"{status}: {progress.phase}")
        if not changed and time.monotonic() - self._reported_at < UPDATE_SECONDS:
            return
        self._reported, self._reported_at = (status, progress.phase), time.monotonic()
        changes: dict[str, Any] = {"remaining_seconds": progress.remaining_seconds}
        if progress.loss is not None:
            changes |= finite({"loss": progress.loss})
        if progress.metrics:
            changes["metrics"] = finite(progress.metrics)
        counts = {"phase": progress.phase, "done": progress.done, "total": progress.total}
        self._trainings.update(self._id, status=status, **counts, **changes)

    def prepared(self, dataset: Dataset, *, resumed: bool) -> None:
        """Record what was left out."""
        if not resumed:
            for line in describe(dataset):
                self.log(line)
        self._trainings.update(self._id, notes=dataset.notes)

    def trained(self, trained: Trained) -> None:
        """Record the encoder and its metrics."""
        metrics = finite(trained.result.metrics)
        self._trainings.update(self._id, encoder_id=trained.manifest.id, metrics=metrics)
        self.log(f"trained {trained.manifest.id} in {trained.result.seconds['total']:.0f} s")

    def compared(self, comparison: Comparison) -> None:
        """Record the comparison."""
        self._trainings.update(self._id, comparison=comparison.to_json())
        self.log(comparison.sentence)

    def is_cancelled(self) -> bool:
        """Whether a cancel was requested, or the training has ended; reads the record once a second."""
        if not self._cancelled and time.monotonic() - self._checked_at >= UPDATE_SECONDS:
            self._checked_at = time.monotonic()
            training = self._trainings.get(self._id)
            self._cancelled = training.cancel_requested or not training.is_active
        return self._cancelled


def describe(dataset: Dataset) -> list[str]:
    """A data set in lines of a log."""
    return [*dataset.notes, f"{len(dataset.examples)} images of {len(dataset.labels)} classes"]


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Those numbers that are finite: JSON has no others."""
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
