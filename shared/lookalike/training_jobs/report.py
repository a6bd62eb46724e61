"""The evaluation of a training: the encoder that serves and the trained one, as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lookalike.errors import ImageRejected
from lookalike.images import ImageLimits, decode
from lookalike.publishing import ExampleVectors
from lookalike.settings import Settings
from lookalike.types import Pixels

WORDS = "pictures that the training held out ask, those that it learnt are found"
SHOWN_SIDE = 256


def write_report(
    vectors: ExampleVectors, encoder_ids: Sequence[str], path: Path, settings: Settings, *, title: str
) -> None:
    """Judge encoders, the one that serves first, and write the page.

    Raises:
        InvalidInput: too few pictures for an evaluation.
        ImportError: what draws the plots is not installed (`lookalike[train]`).
    """
    from lookalike.evaluation import Candidate, QuerySplit, evaluate
    from lookalike.evaluation.html import write_html

    examples = [*vectors.queries, *vectors.gallery]
    asks = np.arange(len(examples)) < len(vectors.queries)
    candidates = [
        Candidate(encoder_id, np.concatenate(vectors.side(encoder_id))) for encoder_id in encoder_ids
    ]
    report = evaluate(
        candidates,
        [example.id for example in examples],
        [example.label for example in examples],
        QuerySplit.held_out(asks, WORDS),
        title=title,
        layout=True,
    )
    files = {example.id: example.path for example in examples}
    limits = ImageLimits.from_settings(settings)

    def pixels(item_id: str) -> Pixels | None:
        try:
            return decode(files[item_id].read_bytes(), limits, min_side=SHOWN_SIDE).pixels
        except (ImageRejected, OSError):
            return None

    write_html(report, path, pixels)
