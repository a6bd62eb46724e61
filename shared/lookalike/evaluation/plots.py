"""The plots of a report, drawn by matplotlib without a display."""

from __future__ import annotations

import io
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import Incompatible
from lookalike.evaluation.report import EncoderResult, EvaluationReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinct for colour-blind readers (Okabe & Ito 2008) and dark enough on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7A5195", "#8C6D00", "#56B4E9", "#444444")
SAME, DIFFERENT = "#0072B2", "#D55E00"
LONGEST_NAME = 26
FEWEST_PAIRS = 20
"""Minimum number of pairs in a bin of the calibration plot; with fewer, the share of correct ones is
noise."""
CONFUSED_CATEGORIES = 16
MAP_CATEGORIES = 12
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.parse_math": False,
    "figure.constrained_layout.use": True,
}


def figures(report: EvaluationReport) -> Iterator[tuple[str, Figure]]:
    """Every plot that the report has data for, with a name that is valid as a file name.

    Raises:
        Incompatible: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise Incompatible(
            "the report's plots need matplotlib", got=str(error), fix='pip install "lookalike[train]"'
        ) from error
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has those glyphs
        yield "precision-recall", _precision_recall(report)
        yield "similarities", _similarities(report)
        if any(encoder.reliability for encoder in report.encoders):
            yield "reliability", _reliability(report)
        for number, encoder in enumerate(report.encoders, start=1):
            yield f"confusion-{number}", _confusion(encoder)
        for number, encoder in enumerate(report.encoders, start=1):
            if encoder.layout:
                yield f"map-{number}", _map(encoder)
        if report.blend:
            yield "blend", _blend(report)


def svg(figure: Figure) -> str:
    """The plot as a self-contained `<svg>` element. Text stays text."""
    written = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None}, dpi=130)
    text = written.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """`name` without control characters, cut with an ellipsis."""
    name = CONTROL.sub("·", name)
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _plot(rows: int = 1, *, width: float = 7.0, height: float = 4.4) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, list(figure.subplots(rows, 1, squeeze=False)[:, 0])


def _precision_recall(report: EvaluationReport) -> Figure:
    figure, (axes,) = _plot()
    for encoder, colour in _coloured(report.encoders):
        axes.plot(
            [point.recall for point in encoder.curve],
            [point.precision for point in encoder.curve],
            color=colour,
            linewidth=2,
            label=short(encoder.name, 40),
        )
        if encoder.threshold.score is not None:
            axes.plot(encoder.threshold.recall, encoder.threshold.precision, "o", color=colour)
    axes.axhline(report.wanted_precision, color="#888888", linestyle="--", linewidth=1)
    axes.text(
        0.995,
        report.wanted_precision + 0.01,
        f"precision {report.wanted_precision:g}",
        ha="right",
        fontsize=9,
    )
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.05))
    _legend_above(axes)
    return figure


def _similarities(report: EvaluationReport) -> Figure:
    count = len(report.encoders)
    figure, panels = _plot(count, height=2.6 * count)
    for axes, encoder in zip(panels, report.encoders, strict=True):
        histogram = encoder.histogram
        edges = np.linspace(histogram.low, histogram.high, len(histogram.same) + 1)
        used = np.flatnonzero(np.array(histogram.same) + np.array(histogram.different))
        for name, counts, colour in (
            ("different category", histogram.different, DIFFERENT),
            ("same category", histogram.same, SAME),
        ):
            share = np.array(counts) / max(1, sum(counts))
            axes.stairs(share, edges, fill=True, alpha=0.45, color=colour)
            axes.stairs(share, edges, color=colour, linewidth=1.2, label=name)
        if encoder.threshold.score is not None:
            axes.axvline(encoder.threshold.score, color="#333333", linestyle="--", linewidth=1.2)
            axes.annotate(
                f" threshold {encoder.threshold.score:.3f}",
                (encoder.threshold.score, 0.97),
                xycoords=("data", "axes fraction"),
                fontsize=9,
                va="top",
            )
        axes.set_xlim(edges[used[0]] - 0.02, min(1.02, edges[used[-1] + 1] + 0.02))
        axes.set_title(short(encoder.name, 60), fontsize=11, loc="left")
        axes.set_ylabel("share of pairs")
        axes.margins(y=0.2)
        axes.set_ylim(bottom=0)
    panels[-1].set_xlabel("score (cosine)")
    panels[-1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=2, frameon=False)
    return figure


def _reliability(report: EvaluationReport) -> Figure:
    figure, (axes,) = _plot(width=6.4, height=5.2)
    axes.plot([0, 1], [0, 1], color="#999999", linestyle="--", linewidth=1, label="ideal")
    for encoder, colour in _coloured(report.encoders):
        if encoder.reliability is None:
            continue
        bins = [bin_ for bin_ in encoder.reliability.bins if bin_.pairs >= FEWEST_PAIRS]
        most = max((bin_.pairs for bin_ in bins), default=1)
        x, y = [bin_.confidence for bin_ in bins], [bin_.right for bin_ in bins]
        axes.plot(x, y, color=colour, alpha=0.8)
        sizes = [20 + 160 * bin_.pairs / most for bin_ in bins]
        error = encoder.reliability.expected_calibration_error
        axes.scatter(x, y, s=sizes, color=colour, label=f"{short(encoder.name, 36)}: error {error:.3f}")
    axes.set(xlabel="confidence", ylabel="share of correct matches", xlim=(0, 1), ylim=(0, 1.03))
    _legend_above(axes)
    return figure


def _confusion(encoder: EncoderResult) -> Figure:
    names = _confused(encoder)
    place = {name: row for row, name in enumerate(names)}
    table = np.zeros((len(names), len(names)))
    totals: Counter[str] = Counter()
    for cell in encoder.confusion:
        totals[cell.asked] += cell.queries
        if cell.asked in place and cell.found in place:
            table[place[cell.asked], place[cell.found]] = cell.queries
    table /= np.maximum(1, [totals[name] for name in names])[:, None]
    side = 3.2 + 0.36 * len(names)
    figure, (axes,) = _plot(width=side + 0.8, height=side)
    axes.grid(visible=False)
    image = axes.imshow(table, cmap="Blues", vmin=0, vmax=1)
    shown = [short(name, 20) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=55, ha="right", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(range(len(names)), shown, fontsize=9)
    for row, column in zip(*np.nonzero(table >= 0.005), strict=True):
        share = table[row, column]
        colour = "white" if share > 0.55 else "#222222"
        axes.text(column, row, f"{share * 100:.0f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set(xlabel="category of the best match", ylabel="category of the query")
    axes.set_title(f"{short(encoder.name, 44)}, % of each row", fontsize=11, loc="left")
    figure.colorbar(image, ax=axes, shrink=0.7)
    return figure


def _confused(encoder: EncoderResult) -> list[str]:
    """All categories in order, or the most confused ones if there are too many."""
    names = sorted({cell.asked for cell in encoder.confusion} | {cell.found for cell in encoder.confusion})
    if len(names) <= CONFUSED_CATEGORIES:
        return names
    mistakes: Counter[str] = Counter()
    for cell in encoder.confusion:
        if cell.asked != cell.found:
            mistakes[cell.asked] += cell.queries
            mistakes[cell.found] += cell.queries
    most = [name for name, _ in mistakes.most_common(CONFUSED_CATEGORIES)]
    return sorted(most + [name for name in names if name not in most][: CONFUSED_CATEGORIES - len(most)])


def _map(encoder: EncoderResult) -> Figure:
    figure, (axes,) = _plot(width=8.2, height=5.6)
    frequent = [name for name, _ in Counter(p.label for p in encoder.layout).most_common(MAP_CATEGORIES)]
    others = [point for point in encoder.layout if point.label not in frequent]
    if others:
        _dots(axes, others, "#c9c9c9", "others", "o")
    for number, name in enumerate(sorted(frequent)):
        colour = COLOURS[number % len(COLOURS)]
        marker = "o^sD"[number // len(COLOURS)]
        _dots(axes, [p for p in encoder.layout if p.label == name], colour, short(name), marker)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.set_title(f"{short(encoder.name, 60)}: {len(encoder.layout)} images", fontsize=11, loc="left")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.8, fontsize=9)
    return figure


def _dots(axes: Axes, points: Sequence[Any], colour: str, label: str, marker: str) -> None:
    x, y = [p.x for p in points], [p.y for p in points]
    # Rasterised: thousands of dots as shapes would dominate the file size.
    axes.scatter(x, y, s=13, color=colour, label=label, marker=marker, linewidths=0, rasterized=True)


def _blend(report: EvaluationReport) -> Figure:
    figure, (axes,) = _plot()
    points = sorted(report.blend, key=lambda point: point.weight)
    for number, name in enumerate(points[0].metrics):
        values = [point.metrics.get(name, float("nan")) for point in points]
        axes.plot(
            [p.weight for p in points],
            values,
            "o-",
            color=COLOURS[number % len(COLOURS)],
            label=short(name, 40),
        )
    for point in points:
        if point.chosen:
            axes.axvline(point.weight, color="#333333", linestyle="--", linewidth=1.2, label="chosen")
    axes.set(xlabel="weight of the trained features", ylabel="share of queries", xlim=(-0.02, 1.02))
    _legend_above(axes)
    return figure


def _legend_above(axes: Axes) -> None:
    """Place the legend above the plot, where no curve crosses it."""
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), fontsize=9.5, markerscale=0.6)


def _coloured(encoders: Sequence[EncoderResult]) -> Iterator[tuple[EncoderResult, str]]:
    return ((encoder, COLOURS[number % len(COLOURS)]) for number, encoder in enumerate(encoders))
