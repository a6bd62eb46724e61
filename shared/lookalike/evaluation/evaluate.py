"""Evaluate several encoders on one query/gallery split of one set of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidInput
from lookalike.evaluation.bootstrap import Difference, Draws, Interval, Replicates
from lookalike.evaluation.choose_queries import QuerySplit
from lookalike.evaluation.map import map_of
from lookalike.evaluation.mistakes import by_category, confusion, worst_queries
from lookalike.evaluation.pairs import PairCounts, Threshold, count_pairs
from lookalike.evaluation.queries_and_gallery import QueriesAndGallery
from lookalike.evaluation.reliability import judge_confidence
from lookalike.evaluation.report import (
    METRICS,
    EncoderDifference,
    EncoderResult,
    EvaluationReport,
    MapPoint,
    SimilarityHistogram,
    WantedThreshold,
)
from lookalike.evaluation.retrieval import DEPTHS, rank
from lookalike.search_space import in_search_space
from lookalike.types import Vectors

WANTED_PRECISION = 0.92
PRECISIONS = (0.5, 0.8, 0.9, 0.95, 0.99)
FEWEST_PICTURES = 10
CURVE_POINTS = 200
HISTOGRAM_BINS = 128

Progress = Callable[[str], None]
"""Called with a short description of each step."""
Draw = tuple[float, Replicates]


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One encoder's vectors of all images.

    Attributes:
        name: of the encoder.
        vectors: (n, d) float32, in the order of the images.
        facts: for the report.
        in_search_space: the vectors are those of a collection's index. Otherwise they are projected as for an
            index of the gallery, so that the results, and above all the threshold, hold for searches.
    """

    name: str
    vectors: Vectors
    facts: Mapping[str, str] = field(default_factory=dict)
    in_search_space: bool = False


def evaluate(
    candidates: Sequence[Candidate],
    ids: Sequence[str],
    labels: Sequence[str],
    split: QuerySplit,
    *,
    title: str = "",
    wanted_precision: float = WANTED_PRECISION,
    layout: bool = False,
    progress: Progress | None = None,
) -> EvaluationReport:
    """Evaluate every candidate on the same queries and compare each with the first.

    Args:
        candidates: at least one; names differ.
        ids: (n,) of the images.
        labels: (n,) their categories.
        split: which images are queries, and which the gallery.
        title: the report's title.
        wanted_precision: the precision that the threshold must reach, in (0, 1].
        layout: compute a 2-D map too; needs scikit-learn and takes seconds.
        progress: called before each step.

    Raises:
        InvalidInput: fewer than 10 images or 2 categories; no query has a relevant image in the gallery;
            `wanted_precision` is out of range; names are equal; vectors and labels differ in number.
    """
    _check(candidates, ids, labels, wanted_precision)
    say = progress or (lambda _: None)
    draws = Draws(len(split.queries))
    results, drawn = [], []
    for candidate in candidates:
        say(f"evaluating {candidate.name}")
        trial = _Trial(candidate, tuple(ids), np.asarray(labels), split, wanted_precision)
        result, numbers = trial.judge(draws, layout=layout)
        results.append(result)
        drawn.append(numbers)
    relevant = trial.sides.relevant()
    return EvaluationReport(
        title=title,
        split=split.words,
        queries=len(split.queries),
        gallery=len(split.gallery),
        unanswerable=int((relevant == 0).sum()),
        categories=len(trial.sides.classes),
        wanted_precision=wanted_precision,
        encoders=tuple(results),
        differences=tuple(
            EncoderDifference(
                result.name,
                results[0].name,
                {key: Difference.of(numbers[key], drawn[0][key]) for key in METRICS},
            )
            for result, numbers in zip(results[1:], drawn[1:], strict=True)
        ),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """One encoder on one split."""

    candidate: Candidate
    ids: tuple[str, ...]
    labels: NDArray[np.str_]
    split: QuerySplit
    wanted: float
    sides: QueriesAndGallery = field(init=False)

    def __post_init__(self) -> None:
        queries, gallery, vectors = self.split.queries, self.split.gallery, self.candidate.vectors
        asking, answering = vectors[queries], vectors[gallery]
        if not self.candidate.in_search_space:
            asking, answering = in_search_space(asking, answering)
        sides = QueriesAndGallery.of(
            asking,
            self.labels[queries],
            answering,
            self.labels[gallery],
            exclude=self.split.exclude,
        )
        if not sides.relevant().any():
            raise InvalidInput(
                "no query has a matching image in the gallery",
                got=f"{len(queries)} queries, {len(sides.classes)} categories",
                expected="categories with 2 images or more",
                fix="Give images of the same kind the same category.",
            )
        object.__setattr__(self, "sides", sides)

    def judge(self, draws: Draws, *, layout: bool) -> tuple[EncoderResult, Mapping[str, Draw]]:
        sides = self.sides
        found, counts = rank(sides), count_pairs(sides)
        threshold = counts.at_precision(self.wanted)
        numbers: dict[str, Draw] = {
            f"recall_at_{k}": (found.recall(k), draws.mean(found.hits[k])) for k in DEPTHS
        }
        numbers["map_at_r"] = (found.map_at_r, draws.mean(found.average_precision))
        recalls = draws.recall_at_precision(sides, counts, self.wanted)
        numbers["recall_at_precision"] = (threshold.recall, recalls)
        query_ids = [self.ids[row] for row in self.split.queries.tolist()]
        gallery_ids = [self.ids[row] for row in self.split.gallery.tolist()]
        result = EncoderResult(
            name=self.candidate.name,
            dimension=self.candidate.vectors.shape[1],
            facts=dict(self.candidate.facts),
            metrics={key: Interval.of(*numbers[key]) for key in METRICS},
            threshold=threshold,
            thresholds=tuple(WantedThreshold(p, counts.at_precision(p)) for p in PRECISIONS),
            curve=_curve(counts),
            histogram=_histogram(counts),
            categories=by_category(sides, found, threshold.score),
            confusion=confusion(sides, found),
            reliability=judge_confidence(sides),
            worst=worst_queries(sides, found, query_ids, gallery_ids),
            layout=self._map() if layout else (),
        )
        return result, numbers

    def _map(self) -> tuple[MapPoint, ...]:
        rows = np.union1d(self.split.queries, self.split.gallery)
        return map_of(self.candidate.vectors[rows], self.labels[rows].tolist())


def _curve(counts: PairCounts) -> tuple[Threshold, ...]:
    """Points at evenly spaced recalls, including both ends."""
    thresholds, precision, recall = counts.curve()
    if not counts.same.any():
        return ()
    wanted = np.linspace(recall[0], 1.0, CURVE_POINTS)
    places = np.unique(np.minimum(np.searchsorted(recall, wanted), len(recall) - 1))
    return tuple(
        Threshold(round(float(thresholds[i]), 6), round(float(precision[i]), 6), round(float(recall[i]), 6))
        for i in places.tolist()
    )


def _histogram(counts: PairCounts) -> SimilarityHistogram:
    same, different = counts.histogram(HISTOGRAM_BINS)
    return SimilarityHistogram(-1.0, 1.0, tuple(same.tolist()), tuple(different.tolist()))


def _check(
    candidates: Sequence[Candidate], ids: Sequence[str], labels: Sequence[str], wanted_precision: float
) -> None:
    if len(ids) < FEWEST_PICTURES or len(ids) != len(labels):
        raise InvalidInput(
            "too few labelled images to evaluate",
            got=min(len(ids), len(labels)),
            expected=f"{FEWEST_PICTURES} or more, each with a category",
            fix="Put images in one folder per category, or choose a collection whose items have categories.",
        )
    if len(set(labels)) < 2:
        raise InvalidInput(
            "all images have the same category, so every match would be correct",
            got=repr(labels[0]),
            expected="2 categories or more",
        )
    if not 0 < wanted_precision <= 1:
        raise InvalidInput(
            "the target precision is out of range", got=wanted_precision, expected="above 0, at most 1"
        )
    names = [candidate.name for candidate in candidates]
    if not names or len(set(names)) != len(names):
        raise InvalidInput("encoder names must be unique", got=", ".join(names) or "none")
    for candidate in candidates:
        if len(candidate.vectors) != len(ids):
            raise InvalidInput(
                f"{candidate.name} must have one vector per image",
                got=len(candidate.vectors),
                expected=len(ids),
            )
