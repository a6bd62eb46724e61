"""Output of a command: results to standard output, everything else to standard error.

Rich is imported when the first line is written, so that `lookalike search --json` does not pay for it.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from lookalike.progress import Progress

Advance = Callable[[int], None]
Phase = Callable[[str, int, int, str, float | None], None]
Justify = Literal["left", "right"]


stop_requested = threading.Event()
"""Set by Ctrl-C. Long loops check it, because native code may swallow the KeyboardInterrupt."""


class Console:
    """With `as_json`, standard output is exactly one JSON document; otherwise it is text for people."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    def note(self, text: str) -> None:
        """Write a progress line to standard error."""
        # Commands in it are copied, so the terminal breaks its lines.
        _rich(stderr=True).print(text, style="dim", markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Write a warning to standard error."""
        _rich(stderr=True).print(text, style="yellow", markup=False, highlight=False)

    def say(self, text: str) -> None:
        """Write a line of the result to standard output, unless that is JSON."""
        if not self.as_json:
            _rich().print(text, markup=False, highlight=False, soft_wrap=True)

    def document(self, data: Mapping[str, Any]) -> None:
        """Write the result as JSON; nothing unless `as_json`."""
        if self.as_json:
            sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
            sys.stdout.flush()

    def table(
        self, columns: Mapping[str, Justify], rows: Sequence[Sequence[object]], title: str = ""
    ) -> None:
        """Write the result for people; nothing if `as_json`."""
        if self.as_json:
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for name, justify in columns.items():
            table.add_column(name, justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*(Text("–" if cell is None else str(cell)) for cell in row))
        _rich().print(table)

    @contextmanager
    def progress(self, task: str, total: int) -> Iterator[Advance]:
        """A progress bar on standard error. Yields a function to call after each step."""
        with _progress() as progress:
            number = progress.add_task(task, total=total, rate="")

            def advance(count: int) -> None:
                if stop_requested.is_set():  # Ctrl-C arrived while native code ran
                    raise KeyboardInterrupt
                progress.advance(number, count)
                if speed := progress.tasks[0].finished_speed or progress.tasks[0].speed:
                    progress.update(number, rate=f"{speed:,.0f}/s")

            yield advance

    @contextmanager
    def bars(self) -> Iterator[Progress]:
        """Progress of work with several steps: a bar for what is counted, a line for what is not."""
        with ExitStack() as stack:
            bars: dict[tuple[str, int], tuple[Advance, list[int]]] = {}

            def report(task: str, done: int, total: int) -> None:
                if not total:
                    stack.close()  # a bar that keeps redrawing would cover the line
                    bars.clear()
                    self.note(task)
                    return
                if (task, total) not in bars:
                    stack.close()  # one bar at a time
                    bars[task, total] = stack.enter_context(self.progress(task, total)), [0]
                advance, seen = bars[task, total]
                advance(max(0, done - seen[0]))
                seen[0] = max(done, seen[0])

            yield report

    @contextmanager
    def phases(self) -> Iterator[Phase]:
        """A progress bar on standard error for each of several consecutive phases.

        Yields a function to call with the phase's name, steps done, steps in total, a short text, and the
        remaining seconds if known.
        """
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        with Progress(*columns, console=_rich(stderr=True)) as progress:
            known: dict[str, TaskID] = {}

            def show(phase: str, done: int, total: int, text: str, seconds: float | None) -> None:
                if phase not in known:
                    known[phase] = progress.add_task(phase, total=total, text="", left="")
                left = "" if seconds is None else f"{_duration(seconds)} left"
                progress.update(known[phase], completed=done, total=total, text=text, left=left)

            yield show


def _duration(seconds: float) -> str:
    """`42 s`, `3 min`, `1 h 5 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _progress() -> RichProgress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=_rich(stderr=True),
    )


def _rich(*, stderr: bool = False) -> RichConsole:
    from rich.console import Console as RichConsole

    return RichConsole(stderr=stderr)
