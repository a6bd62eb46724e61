"""An evaluation in the terminal: a column for each encoder, so that several fit side by side."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from lookalike.evaluation import METRICS

if TYPE_CHECKING:
    from lookalike.cli.console import Console, Justify
    from lookalike.evaluation import EncoderResult, EvaluationReport
    from lookalike.evaluation.bootstrap import Interval


def print_evaluation(console: Console, result: EvaluationReport) -> None:
    """The tables, and how the encoders differ."""
    # Ids are long: if there are several, letters stand for them.
    several = len(result.encoders) > 1
    letters = [chr(ord("A") + number) for number in range(len(result.encoders))] if several else ["value"]
    for letter, encoder in zip(letters, result.encoders, strict=True):
        console.say(f"{letter}  {encoder.name}" if several else encoder.name)
    columns: dict[str, Justify] = {"measure": "left"}
    columns |= dict.fromkeys(letters, "right")
    console.table(
        columns,
        [[name, *cells] for name, cells in _measures(result)],
        title=f"{result.queries:,} queries, {result.gallery:,} in the gallery, {result.categories:,} "
        f"categories: {result.split}. Below each metric: its 95 % confidence interval.",
    )
    thresholds: dict[str, Justify] = {"wanted precision": "right"}
    thresholds |= dict.fromkeys(letters, "right")
    console.table(
        thresholds,
        _thresholds(result),
        title="Thresholds by precision: the minimum score, and its recall",
    )
    for difference in result.differences:
        words = [
            f"{METRICS[key]} {change.change.value:+.3f} ({change.verdict})"
            for key, change in difference.metrics.items()
        ]
        console.say(f"{difference.name} against {difference.baseline}: {', '.join(words)}")


def _measures(result: EvaluationReport) -> list[tuple[str, list[str | None]]]:
    rows = [
        (title, [_interval(encoder.metrics[key]) for encoder in result.encoders])
        for key, title in METRICS.items()
    ]
    rows.append(("calibration error", [_calibration_error(encoder) for encoder in result.encoders]))
    facts = dict.fromkeys(name for encoder in result.encoders for name in encoder.facts)
    rows += [(name, [_text(encoder.facts.get(name)) for encoder in result.encoders]) for name in facts]
    return rows


def _thresholds(result: EvaluationReport) -> list[list[str]]:
    by_encoder = [
        {entry.wanted: entry.threshold for entry in encoder.thresholds}
        | {result.wanted_precision: encoder.threshold}
        for encoder in result.encoders
    ]
    return [
        [f"{wanted:g}"]
        + [
            f"{_number(found[wanted].score)} → {_number(found[wanted].recall)}" if wanted in found else "–"
            for found in by_encoder
        ]
        for wanted in sorted({wanted for found in by_encoder for wanted in found})
    ]


def _calibration_error(encoder: EncoderResult) -> str | None:
    return _number(encoder.reliability.expected_calibration_error) if encoder.reliability else None


def _interval(interval: Interval) -> str | None:
    if isnan(interval.value):
        return None
    return f"{interval.value:.3f}\n{interval.low:.3f}–{interval.high:.3f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _text(value: object) -> str | None:
    return None if value is None else str(value)
