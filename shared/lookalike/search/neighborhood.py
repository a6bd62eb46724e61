"""The nearest items of a query, whatever its filter: they show what the query is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lookalike.confidence import ConfidenceModel, Judgement
from lookalike.search.find_nearest import Found, Request, find
from lookalike.search.view import View
from lookalike.search_space import SAME_SCORE, EncoderScore
from lookalike.types import Vector, score_from_distance


def nearest(view: View, vector: Vector, model: ConfidenceModel, own: Iterable[int], least: int) -> Found:
    """At least as many nearest items as `judge` needs.

    Args:
        view: of the collection.
        vector: of the query, shape (d,), float32.
        model: of the view's snapshot.
        own: rows of the query's own items; found like others, and not used by `judge`.
        least: how many are needed for other reasons.
    """
    return find(view, vector, Request(max(least, model.neighbors + len(set(own))), view.alive))


def judge(
    view: View,
    found: Found,
    model: ConfidenceModel,
    own: Iterable[int],
    encoder_score: EncoderScore | None = None,
) -> Judgement:
    """What the nearest items, as found by `nearest`, say about the query.

    Args:
        view: of the collection.
        found: see `nearest`.
        model: of the view's snapshot.
        own: see `nearest`.
        encoder_score: of the query; None: it is an item.
    """
    usual = view.space.usual_score if view.space else SAME_SCORE
    others = ~np.isin(found.rows, list(own))
    rows = found.rows[others][: model.neighbors].tolist()
    distances = found.distances[others][: model.neighbors].tolist()
    return model.judge(
        [score_from_distance(distance, view.metric) for distance in distances],
        [view.category_at(row) for row in rows],
        encoder_score or usual,
    )
