"""Write the report as one self-contained HTML file: no network, no scripts."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from lookalike.evaluation.bootstrap import Difference, Interval
from lookalike.evaluation.pairs import Threshold
from lookalike.evaluation.plots import CONTROL, figures, svg
from lookalike.evaluation.report import METRICS, EncoderResult, EvaluationReport, WorstQuery
from lookalike.types import Pixels

ImageReader = Callable[[str], Pixels | None]
"""Reads an image by its id: (height, width, 3) uint8 sRGB, or None if it cannot be read."""

THUMBNAIL = 160
QUALITY = 72
WORST_SHOWN = 36
"""Number of worst queries over all encoders. It bounds the file size."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
CSS = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1e22; background: #fff; margin: 2rem auto;
  max-width: 80rem; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.25rem; margin-top: 2.6rem; }
p.lead, figcaption, .small { color: #5c6068; } .small { font-size: .85rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid #e4e5e8; text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; min-width: 11rem; max-width: 22rem; }
th, td:not(:first-child) { overflow-wrap: normal; } td:not(:first-child) { white-space: nowrap; }
th { font-weight: 600; background: #f6f6f4; } tr.chosen td { background: #eef5fc; }
.better { color: #00694c; } .worse { color: #b03a00; } .noise { color: #5c6068; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 1.6rem; }
figure { margin: 0; } figure svg { width: 100%; height: auto; max-height: 42rem; }
.row { display: flex; gap: .7rem; padding: .7rem 0; border-bottom: 1px solid #e4e5e8; overflow-x: auto; }
.tile { width: 7.6rem; flex: none; font-size: .78rem; line-height: 1.3; } .tile.ask { margin-right: 1rem; }
.tile img, .none { width: 7rem; height: 7rem; object-fit: contain; background: #f2f2f0; display: block;
  border: 3px solid transparent; border-radius: 6px; } .ask img, .ask .none { border-color: #0072b2; }
.right img, .right .none { border-color: #009e73; } .wrong img, .wrong .none { border-color: #d55e00; }
"""
CAPTIONS = {
    "precision-recall": "Precision and recall of all query/gallery pairs over all score thresholds. The dot "
    "marks the threshold for the target precision.",
    "similarities": "Scores of same-category and different-category pairs. The less they overlap, the "
    "better a threshold separates them.",
    "reliability": "Share of correct matches by confidence, which was learned from other queries. Larger "
    "dots stand for more matches.",
    "confusion": "Category of the best match by category of the query. Rows add up to 100 if all categories "
    "are shown.",
    "map": "Similar images are close together (t-SNE). Large distances mean little.",
    "blend": "Metrics on validation images by the weight of the trained features.",
}
VERDICTS = {"better": "better", "worse": "worse", "noise": "within noise"}


def write_html(report: EvaluationReport, path: Path, images: ImageReader | None = None) -> Path:
    """Write the report; the file appears whole or not at all.

    Args:
        report: what to show.
        path: of the file; its folder is created.
        images: reads the thumbnails of the worst queries; None shows only their names.

    Raises:
        Incompatible: matplotlib is not installed.
    """
    page = html(report, images)
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f"{path.name}.part")
    staged.write_text(page, "utf-8")
    staged.replace(path)
    return path


def html(report: EvaluationReport, images: ImageReader | None = None) -> str:
    """The page. All names and metadata are escaped."""
    title = _text(report.title or "Evaluation")
    body = [
        f"<h1>{title}</h1>",
        f'<p class="lead">{report.queries:,} queries against {report.gallery:,} images in '
        f"{report.categories:,} categories ({_text(report.split)}). {_text(report.created_at)}</p>",
        *(f"<p>{_text(note)}</p>" for note in report.notes),
        _unanswerable(report),
        "<h2>Retrieval quality</h2>",
        _metrics(report),
        _differences(report),
        "<h2>Thresholds by precision</h2>",
        _thresholds(report),
        "<h2>Plots</h2>",
        f'<div class="plots">{"".join(_figures(report))}</div>',
        _blend(report),
        *(_categories(encoder) for encoder in report.encoders),
        *(_worst(encoder, report, images) for encoder in report.encoders),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{CSS}</style></head>\n<body>\n"
        + "\n".join(filter(None, body))
        + "\n</body></html>\n"
    )


def _unanswerable(report: EvaluationReport) -> str:
    if not report.unanswerable:
        return ""
    return (
        f"<p>{report.unanswerable:,} queries have a category that is not in the gallery. The retrieval "
        "metrics exclude them.</p>"
    )


def _metrics(report: EvaluationReport) -> str:
    facts = list(dict.fromkeys(name for encoder in report.encoders for name in encoder.facts))
    head = ["encoder", *METRICS.values(), "threshold", "calibration error", "dimension", *facts]
    head[5] = f"recall at precision {report.wanted_precision:g}"
    rows = [
        [
            _text(encoder.name),
            *(_interval(encoder.metrics[key]) for key in METRICS),
            _number(encoder.threshold.score),
            _number(encoder.reliability.expected_calibration_error if encoder.reliability else None),
            f"{encoder.dimension:,}",
            *(_text(encoder.facts.get(name, "–")) for name in facts),
        ]
        for encoder in report.encoders
    ]
    note = "Small numbers: 95 % confidence interval (bootstrap over queries)."
    return _table(head, rows) + f'<p class="small">{note}</p>'


def _differences(report: EvaluationReport) -> str:
    if not report.differences:
        return ""
    rows = [
        [_text(difference.name), *(_difference(difference.metrics[key]) for key in METRICS)]
        for difference in report.differences
    ]
    heading = f"<h3>Difference from {_text(report.differences[0].baseline)} on the same queries</h3>"
    return heading + _table(["encoder", *METRICS.values()], rows)


def _thresholds(report: EvaluationReport) -> str:
    rows = []
    for encoder in report.encoders:
        wanted = [(entry.wanted, entry.threshold) for entry in encoder.thresholds]
        for precision, threshold in sorted(
            [*wanted, (report.wanted_precision, encoder.threshold)], key=_first
        ):
            rows.append(
                [_text(encoder.name), f"{precision:g}", _number(threshold.score), f"{threshold.recall:.3f}"]
            )
    return _table(["encoder", "target precision", "minimum score", "recall"], rows)


def _first(entry: tuple[float, Threshold]) -> float:
    return entry[0]


def _figures(report: EvaluationReport) -> Iterable[str]:
    for name, figure in figures(report):
        caption = CAPTIONS[name.rstrip("-0123456789")]
        yield f'<figure id="{name}">{svg(figure)}<figcaption>{_text(caption)}</figcaption></figure>'


def _blend(report: EvaluationReport) -> str:
    if not report.blend:
        return ""
    names = list(report.blend[0].metrics)
    rows = [
        [
            f"{point.weight:g}" + (" (chosen)" if point.chosen else ""),
            *(f"{point.metrics[n]:.3f}" for n in names),
        ]
        for point in report.blend
    ]
    return "<h2>Blend of trained and frozen features</h2>" + _table(["weight", *map(_text, names)], rows)


def _categories(encoder: EncoderResult) -> str:
    head = [
        "category",
        "queries",
        "gallery",
        "recall@1",
        "mAP@R",
        "precision at threshold",
        "recall at threshold",
    ]
    rows = [
        [
            _text(line.name),
            f"{line.queries:,}",
            f"{line.gallery:,}",
            *(_number(value) for value in (line.recall_at_1, line.map_at_r, line.precision, line.recall)),
        ]
        for line in encoder.categories
    ]
    return f"<h2>By category: {_text(encoder.name)}</h2>" + _table(head, rows)


def _worst(encoder: EncoderResult, report: EvaluationReport, images: ImageReader | None) -> str:
    if not encoder.worst:
        return ""
    shown = encoder.worst[: max(6, WORST_SHOWN // len(report.encoders))]
    rows = "".join(_worst_row(query, images) for query in shown)
    lead = "<p>Each row shows a query and its nearest images.</p>"
    return f"<h2>Worst queries: {_text(encoder.name)}</h2>{lead}{rows}"


def _worst_row(query: WorstQuery, images: ImageReader | None) -> str:
    tiles = [_tile("ask", query.id, query.label, "query", images)]
    for found in query.found:
        kind = "right" if found.label == query.label else "wrong"
        tiles.append(_tile(kind, found.id, found.label, f"{found.score:.3f}", images))
    return f'<div class="row">{"".join(tiles)}</div>'


def _tile(kind: str, image_id: str, label: str, detail: str, images: ImageReader | None) -> str:
    pixels = images(image_id) if images else None
    image = '<div class="none"></div>'
    if pixels is not None:
        image = f'<img alt="{_text(image_id)}" src="data:image/jpeg;base64,{_thumbnail(pixels)}">'
    return (
        f'<div class="tile {kind}" title="{_text(image_id)}">{image}<b>{_text(_cut(label))}</b><br>'
        f'{_text(detail)}<br><span class="small">{_text(_cut(image_id))}</span></div>'
    )


def _thumbnail(pixels: Pixels) -> str:
    from PIL import Image

    thumbnail = Image.fromarray(pixels)
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
    written = io.BytesIO()
    thumbnail.save(written, "JPEG", quality=QUALITY)
    return base64.b64encode(written.getvalue()).decode("ascii")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table. Cells must be escaped already."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def _interval(interval: Interval) -> str:
    if math.isnan(interval.value):
        return "–"
    return f'{interval.value:.3f}<br><span class="small">{interval.low:.3f}–{interval.high:.3f}</span>'


def _difference(difference: Difference) -> str:
    change = difference.change
    return (
        f'<span class="{difference.verdict}">{change.value:+.3f} {VERDICTS[difference.verdict]}</span><br>'
        f'<span class="small">{change.low:+.3f} to {change.high:+.3f}</span>'
    )


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _cut(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _text(value: object) -> str:
    """Escaped text without control characters."""
    return escape(CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(value)))
