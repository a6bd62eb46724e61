"""Write progress of a training to the log of its SageMaker job, and to its record if there is one.

A line of the log is `phase="feature layer" done=3 total=12 loss=0.412 map_at_r=0.731`: SageMaker extracts its
metrics by regular expressions (`METRICS`), and CloudWatch plots them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lookalike.errors import LookalikeError, NotFound
from lookalike.progress import TrainingProgress
from lookalike.training_jobs import Trainings
from lookalike.training_jobs.progress_sinks import RecordSink, Trained, describe, finite
from lookalike.training_jobs.records import Status

if TYPE_CHECKING:
    from lookalike.publishing import Comparison
    from lookalike.training.sources.dataset import Dataset

METRICS = ("loss", "recall_at_1", "map_at_r")
PRINT_SECONDS = 10.0


class JobLog:
    """The `ProgressSink` of the training container.

    The record is optional: a store that fails briefly must not end a training of hours.

    Args:
        trainings: of the collection; None: there is no record.
        training_id: of the training.
        stopped: whether this process got SIGTERM.
    """

    def __init__(self, trainings: Trainings | None, training_id: str, stopped: Callable[[], bool]) -> None:
        self._record = RecordSink(trainings, training_id) if trainings else None
        self._stopped = stopped
        self._phase = ""
        self._printed_at = -float("inf")

    def begin(self) -> None:
        """Mark the training as running."""
        self._try(lambda record: record.begin())

    def log(self, message: str) -> None:
        """Add a line to both logs."""
        self._print(message)
        self._try(lambda record: record.log(message))

    def report(self, progress: TrainingProgress, status: Status | None = "running") -> None:
        """Print and record the progress of the training."""
        numbers = dict(finite(progress.metrics))
        if progress.loss is not None:
            numbers |= finite({"loss": progress.loss})
        self._line(progress.phase, progress.done, progress.total, numbers, always=bool(progress.metrics))
        self._try(lambda record: record.report(progress, status))

    def prepared(self, dataset: Dataset, *, resumed: bool) -> None:
        """Log the size and the notes of the data set."""
        for line in [] if resumed else describe(dataset):
            self.log(line)

    def trained(self, trained: Trained) -> None:
        """Print the metrics of the encoder."""
        self._line("trained", 0, 0, finite(trained.result.metrics), always=True)
        self.log(f"trained {trained.manifest.id} in {trained.result.seconds['total']:.0f} s")

    def compared(self, comparison: Comparison) -> None:
        """Log the result; the record gets it with the artefact."""
        self.log(comparison.sentence)

    def is_cancelled(self) -> bool:
        """Whether this process or the training should stop."""
        if self._stopped():
            return True
        if self._record is None:
            return False
        try:
            return self._record.is_cancelled()
        except NotFound:  # deleted with its collection
            return True
        except LookalikeError:
            return False

    def _try(self, call: Callable[[RecordSink], object]) -> None:
        if self._record is None:
            return
        try:
            call(self._record)
        except LookalikeError as error:
            self._print(f"the record could not be changed: {error}")

    def _line(
        self, phase: str, done: int, total: int, numbers: Mapping[str, float], *, always: bool = False
    ) -> None:
        """Print a new phase at once, and the same one every ten seconds."""
        if not always and phase == self._phase and time.monotonic() - self._printed_at < PRINT_SECONDS:
            return
        self._phase, self._printed_at = phase, time.monotonic()
        shown = "".join(f" {name}={value:.6g}" for name, value in sorted(numbers.items()))
        self._print(f'phase="{phase}" done={done} total={total}{shown}')

    def _print(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def metric_definitions() -> list[dict[str, str]]:
    """The metrics that SageMaker looks for in the log."""
    return [{"Name": name, "Regex": rf"\b{name}=([0-9.eE+-]+)"} for name in METRICS]
