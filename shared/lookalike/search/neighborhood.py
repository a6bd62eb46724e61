"""The nearest items of a query, whatever its filter: they show what the query is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lookalike.confidence import ConfidenceModel, Judgement
from lookalike.search.find_nearest import Finder, Found, Request
from lookalike.search_space import SAME_SCORE, EncoderScore
from lookalike.types import score_from_distance


def nearest(finder: Finder, model: ConfidenceModel, own: Iterable[int], least: int) -> Found:
    """At least as many nearest items as `judge` needs.

    Args:
        finder: of the query.
        model: of the view's snapshot.
        own: rows of the query's own items; found like others, and not used by `judge`.
        least: how many are needed for other reasons.
    """
    return finder.find(Request(max(least, model.neighbors + len(set(own))), finder.view.alive))


def judge(
    finder: Finder,
    found: Found,
    model: ConfidenceModel,
    own: Iterable[int],
    encoder_score: EncoderScore | None = None,
) -> Judgement:
    """What the nearest items, as found by `nearest`, say about the query.

    Args:
        finder: of the query.
        found: see `nearest`.
        model: of the view's snapshot.
        own: see `nearest`.
        encoder_score: of the query; None: it is an item.
    """
    view = finder.view
    usual = view.space.usual_score if view.space else SAME_SCORE
    others = ~np.isin(found.rows, list(own))
    rows = found.rows[others][: model.neighbors].tolist()
    distances = found.distances[others][: model.neighbors].tolist()
    return model.judge(
        [score_from_distance(distance, finder.metric) for distance in distances],
        [view.category_at(row) for row in rows],
        encoder_score or usual,
    )
