"""The result of an evaluation as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lookalike.errors import Incompatible
from lookalike.evaluation.bootstrap import Difference, Interval
from lookalike.evaluation.pairs import Threshold
from lookalike.evaluation.to_json import from_plain, to_plain

FORMAT = 1

METRICS: Mapping[str, str] = {
    "recall_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "recall_at_10": "recall@10",
    "map_at_r": "mAP@R",
    "recall_at_precision": "recall at precision",
}
"""Keys of the metrics with an interval, and their display names."""


@dataclass(frozen=True, slots=True)
class WantedThreshold:
    """The threshold for one target precision."""

    wanted: float
    threshold: Threshold


@dataclass(frozen=True, slots=True)
class SimilarityHistogram:
    """Pairs by score, in equal bins from `low` to `high`."""

    low: float
    high: float
    same: tuple[int, ...]
    different: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CategoryResult:
    """One category's queries.

    `precision` and `recall` are those of its queries' pairs at the threshold for the target precision. NaN
    if no pair is accepted or there is no such threshold.
    """

    name: str
    queries: int
    gallery: int
    recall_at_1: float
    map_at_r: float
    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many queries of category `asked` have a best match of category `found`."""

    asked: str
    found: str
    queries: int


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Pairs with confidence in [low, high): their mean confidence and the share of correct ones."""

    low: float
    high: float
    pairs: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Calibration of confidence: learned from nine tenths of the queries, measured on the rest.

    Attributes:
        expected_calibration_error: see `lookalike.confidence.expected_calibration_error`, in [0, 1].
        nearest_error: the same for only the best match of each query.
        separation: probability that a correct match has a higher confidence than a wrong one (area under the
            ROC curve; ties count one half). NaN if all are correct or all wrong.
        pairs: number of measured pairs.
        bins: the non-empty ones of 15 equal bins.
    """

    expected_calibration_error: float
    nearest_error: float
    separation: float
    pairs: int
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A match of a query."""

    id: str
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class WorstQuery:
    """A query with a wrong best match, and its nearest images."""

    id: str
    label: str
    average_precision: float
    found: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class MapPoint:
    """An image's position on the two-dimensional map; both coordinates in [0, 1]."""

    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class EncoderResult:
    """The results of one encoder.

    Attributes:
        name: the encoder's id, or a name from the caller.
        dimension: of its vectors.
        facts: further columns: precision, milliseconds, megabytes.
        metrics: by the keys of `METRICS`.
        threshold: the threshold for the report's target precision.
        thresholds: the same for other precisions.
        curve: about 200 points of precision against recall, recall rising.
        histogram: scores of same-category and different-category pairs.
        categories: one line per category of the queries, worst first.
        confusion: pairs of query category and best-match category that occur.
        reliability: None if there are too few labels to learn confidence.
        worst: the worst queries.
        layout: a map of a sample of the images; empty if not requested.
    """

    name: str
    dimension: int
    facts: Mapping[str, str]
    metrics: Mapping[str, Interval]
    threshold: Threshold
    thresholds: tuple[WantedThreshold, ...]
    curve: tuple[Threshold, ...]
    histogram: SimilarityHistogram
    categories: tuple[CategoryResult, ...]
    confusion: tuple[Confusion, ...]
    reliability: Reliability | None
    worst: tuple[WorstQuery, ...]
    layout: tuple[MapPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class EncoderDifference:
    """The encoder `name` minus `baseline`, on the same queries, by the keys of `METRICS`."""

    name: str
    baseline: str
    metrics: Mapping[str, Difference]


@dataclass(frozen=True, slots=True)
class BlendPoint:
    """Metrics at one weight of the trained features; `metrics` by display name, in [0, 1]."""

    weight: float
    metrics: Mapping[str, float]
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Several encoders on one query/gallery split.

    Attributes:
        title: what was evaluated.
        split: how queries and gallery were chosen, for people.
        queries, gallery: number of images in each.
        unanswerable: queries whose category is not in the gallery; retrieval metrics exclude them.
        categories: number of categories.
        wanted_precision: the target of `recall_at_precision` and `threshold`.
        encoders: in the order given.
        differences: every encoder after the first, minus the first.
        blend: the trade-off of blending trained with frozen features, where a training measured it.
        notes: notes for readers.
        created_at: ISO 8601, UTC.
        format: version of this layout.
    """

    title: str
    split: str
    queries: int
    gallery: int
    unanswerable: int
    categories: int
    wanted_precision: float
    encoders: tuple[EncoderResult, ...]
    differences: tuple[EncoderDifference, ...]
    created_at: str
    blend: tuple[BlendPoint, ...] = ()
    notes: tuple[str, ...] = ()
    format: int = field(default=FORMAT)

    def encoder(self, name: str) -> EncoderResult:
        """The result of the encoder called `name`. Raises KeyError."""
        return next((e for e in self.encoders if e.name == name), None) or _missing(name)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`; NaN is null."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EvaluationReport:
        """Inverse of `to_json`. Raises Incompatible for another format version or structure."""
        if value.get("format") != FORMAT:
            raise Incompatible(
                "this evaluation has another format version",
                got=value.get("format"),
                expected=FORMAT,
                fix="Evaluate again.",
            )
        return from_plain(cls, value)

    def dump(self) -> bytes:
        """The bytes of a JSON file."""
        return json.dumps(self.to_json(), ensure_ascii=False).encode() + b"\n"


def _missing(name: str) -> EncoderResult:
    raise KeyError(name)
