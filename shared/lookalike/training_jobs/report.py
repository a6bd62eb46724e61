"""The report of a training: the encoder in use and the trained one, as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import ImageRejected
from lookalike.images import ImageLimits, decode
from lookalike.publishing import ExampleVectors
from lookalike.types import Pixels

if TYPE_CHECKING:
    from lookalike.evaluation import BlendPoint, Candidate
    from lookalike.library import Library
    from lookalike.training.child import TrainingResult

SPLIT = "queries are the images that the training held out, the gallery those that it was trained on"
MIN_SIDE = 256
"""Pixels of the shorter side to which images are decoded for the page."""


def write_report(
    library: Library, vectors: ExampleVectors, encoder_ids: Sequence[str], path: Path, result: TrainingResult
) -> None:
    """Evaluate encoders, the one in use first and the trained one last, and write the page.

    Raises:
        InvalidInput: too few images for an evaluation.
        ImportError: what draws the plots is not installed (`lookalike[train]`).
    """
    from lookalike.evaluation import QuerySplit, evaluate
    from lookalike.evaluation.html import write_html

    examples = [*vectors.queries, *vectors.gallery]
    report = evaluate(
        [_candidate(library, vectors, encoder_id) for encoder_id in encoder_ids],
        [example.id for example in examples],
        [example.label for example in examples],
        QuerySplit.held_out(np.arange(len(examples)) < len(vectors.queries), SPLIT),
        title=f"Training results: {encoder_ids[-1]}",
        layout=True,
    )
    report = replace(report, blend=_blend(result.document["blend"]), notes=tuple(result.document["notes"]))
    files = {example.id: example.path for example in examples}
    limits = ImageLimits.from_settings(library.settings)

    def pixels(item_id: str) -> Pixels | None:
        try:
            return decode(files[item_id].read_bytes(), limits, min_side=MIN_SIDE).pixels
        except (ImageRejected, OSError):
            return None

    write_html(report, path, pixels)


def _candidate(library: Library, vectors: ExampleVectors, encoder_id: str) -> Candidate:
    from lookalike.evaluation import Candidate

    manifest = library.encoders.get(encoder_id)
    precision = manifest.default_precision
    facts = {
        "precision of the model": precision,
        "MB": f"{manifest.precision(precision).size_bytes / 1e6:.1f}",
    }
    return Candidate(encoder_id, np.concatenate(vectors.side(encoder_id)), facts)


def _blend(blend: Mapping[str, Any]) -> tuple[BlendPoint, ...]:
    """The results of other shares of trained features."""
    from lookalike.evaluation import BlendPoint

    lines = blend["trades"]
    nearest = min(lines, key=lambda line: abs(line["share"] - blend["share"]), default=None)
    names = {"recall_at_1": "recall@1", "map_at_r": "mAP@R", "detail": "detail"}
    return tuple(
        BlendPoint(line["share"], {title: line[name] for name, title in names.items()}, line is nearest)
        for line in lines
    )
