"""A training that speaks: to the job's log, and to its record where there is one.

A line of the log is `phase="feature layer" done=3 total=12 loss=0.412 map_at_r=0.731`: SageMaker finds its
metrics in it by regular expressions (`METRICS`), and CloudWatch draws them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lookalike.errors import LookalikeError, NotFound
from lookalike.training_jobs import Trainings
from lookalike.training_jobs.progress import Telling, finite
from lookalike.training_jobs.record import Status

if TYPE_CHECKING:
    from lookalike.progress import TrainingProgress

METRICS = ("loss", "recall_at_1", "map_at_r")
PRINT_SECONDS = 10.0


class Printing:
    """A `Teller` of the training container.

    The record is an extra: a store that cannot be reached for a moment must not end a training of hours.

    Args:
        book: the trainings of the collection; None: there is no record.
        training_id: of the training.
        stopped: whether this process was asked to end.
    """

    def __init__(self, book: Trainings | None, training_id: str, stopped: Callable[[], bool]) -> None:
        self._telling = Telling(book, training_id) if book else None
        self._stopped = stopped
        self._phase = ""
        self._printed_at = -float("inf")

    def begin(self) -> None:
        """The training is under way."""
        self._record(lambda telling: telling.begin())

    def say(self, message: str) -> None:
        """A line of the log."""
        self._print(message)
        self._record(lambda telling: telling.say(message))

    def tell(self, status: Status, phase: str, done: int = 0, total: int = 0, **changes: Any) -> None:
        """Where it stands."""
        self._line(phase, done, total, {})
        self._record(lambda telling: telling.tell(status, phase, done, total, **changes))

    def on_progress(self, news: TrainingProgress) -> None:
        """How far the trainer is."""
        numbers = dict(finite(news.metrics))
        if news.loss is not None:
            numbers |= finite({"loss": news.loss})
        self._line(news.phase, news.done, news.total, numbers, always=bool(news.metrics))
        self._record(lambda telling: telling.on_progress(news))

    def metrics(self, metrics: Mapping[str, float]) -> None:
        """What the trained encoder comes to."""
        self._line("trained", 0, 0, finite(metrics), always=True)

    def is_cancelled(self) -> bool:
        """Whether this process, or the training, is to end."""
        if self._stopped():
            return True
        if self._telling is None:
            return False
        try:
            return self._telling.is_cancelled()
        except NotFound:  # deleted with its collection
            return True
        except LookalikeError:
            return False

    def _record(self, call: Callable[[Telling], object]) -> None:
        if self._telling is None:
            return
        try:
            call(self._telling)
        except LookalikeError as error:
            self._print(f"the record could not be changed: {error}")

    def _line(
        self, phase: str, done: int, total: int, numbers: Mapping[str, float], *, always: bool = False
    ) -> None:
        """Print at once what is news, else now and then."""
        if not always and phase == self._phase and time.monotonic() - self._printed_at < PRINT_SECONDS:
            return
        self._phase, self._printed_at = phase, time.monotonic()
        said = "".join(f" {name}={value:.6g}" for name, value in sorted(numbers.items()))
        self._print(f'phase="{phase}" done={done} total={total}{said}')

    def _print(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def metric_definitions() -> list[dict[str, str]]:
    """What SageMaker is told to look for in the log."""
    return [{"Name": name, "Regex": rf"\b{name}=([0-9.eE+-]+)"} for name in METRICS]
