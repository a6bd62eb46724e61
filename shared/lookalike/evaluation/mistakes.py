"""Find mistakes by category, by pair of categories and by query."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation.queries_and_gallery import QueriesAndGallery, Rows
from lookalike.evaluation.report import CategoryResult, Confusion, Found, WorstQuery
from lookalike.evaluation.retrieval import Retrieval, best, mean_of

WORST = 24
SHOWN = 6


def by_category(
    sides: QueriesAndGallery, found: Retrieval, threshold: float | None
) -> tuple[CategoryResult, ...]:
    """One line per query category, lowest mAP@R first. Categories without relevant images come last."""
    taken, right = _taken(sides, threshold)
    gallery = np.bincount(sides.gallery_classes, minlength=len(sides.classes))
    lines = []
    for number in np.unique(sides.query_classes).tolist():
        own = sides.query_classes == number
        lines.append(
            CategoryResult(
                name=sides.classes[number],
                queries=int(own.sum()),
                gallery=int(gallery[number]),
                recall_at_1=mean_of(found.hits[1][own]),
                map_at_r=mean_of(found.average_precision[own]),
                precision=_ratio(right[own].sum(), taken[own].sum()),
                recall=_ratio(right[own].sum(), found.relevant[own].sum())
                if threshold is not None
                else float("nan"),
            )
        )
    return tuple(sorted(lines, key=lambda line: (np.isnan(line.map_at_r), line.map_at_r, line.name)))


def confusion(sides: QueriesAndGallery, found: Retrieval) -> tuple[Confusion, ...]:
    """Pairs of query category and best-match category, most frequent first."""
    queried = sides.query_classes[found.nearest >= 0]
    answered = sides.gallery_classes[found.nearest[found.nearest >= 0]]
    pairs, counts = np.unique(np.stack([queried, answered], axis=1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return tuple(
        Confusion(sides.classes[pairs[row, 0]], sides.classes[pairs[row, 1]], int(counts[row]))
        for row in order.tolist()
    )


def worst_queries(
    sides: QueriesAndGallery,
    found: Retrieval,
    query_ids: Sequence[str],
    gallery_ids: Sequence[str],
    count: int = WORST,
) -> tuple[WorstQuery, ...]:
    """Queries whose best match has another category, lowest average precision first. Among equals, the most
    similar wrong match comes first. At most a quarter come from one category."""
    wrong = np.flatnonzero(found.hits[1] == 0)
    order = wrong[np.lexsort((-found.nearest_score[wrong], found.average_precision[wrong]))]
    chosen = np.array(_varied(order, sides.query_classes, count), np.int64)
    lines = {}
    for rows, scores in sides.blocks(chosen):
        columns, similar = best(scores, min(SHOWN, scores.shape[1]))
        for row, places, values in zip(rows.tolist(), columns, similar, strict=True):
            lines[row] = tuple(
                Found(gallery_ids[place], sides.classes[sides.gallery_classes[place]], round(float(value), 4))
                for place, value in zip(places.tolist(), values, strict=True)
                if np.isfinite(value)
            )
    return tuple(
        WorstQuery(
            query_ids[row],
            sides.classes[sides.query_classes[row]],
            round(float(found.average_precision[row]), 4),
            lines[row],
        )
        for row in chosen.tolist()
    )


def _varied(order: Rows, classes: Rows, count: int) -> list[int]:
    most = max(1, count // 4)
    seen: dict[int, int] = {}
    chosen: list[int] = []
    for row in order.tolist():
        number = int(classes[row])
        seen[number] = seen.get(number, 0) + 1
        if seen[number] <= most and len(chosen) < count:
            chosen.append(row)
    return chosen


def _taken(sides: QueriesAndGallery, threshold: float | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per query: gallery images at or above the threshold, and how many are correct; both (q,)."""
    taken, right = np.zeros(len(sides.queries), np.int64), np.zeros(len(sides.queries), np.int64)
    if threshold is not None:
        for rows, scores in sides.blocks():
            above = scores >= threshold
            taken[rows] = above.sum(axis=1)
            same = sides.query_classes[rows][:, None] == sides.gallery_classes
            right[rows] = (above & same).sum(axis=1)
    return taken, right


def _ratio(part: int, whole: int) -> float:
    return float(part) / float(whole) if whole else float("nan")
