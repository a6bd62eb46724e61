"""What an evaluation found, as values that are kept, sent and drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lookalike.errors import Incompatible
from lookalike.evaluation.bootstrap import Difference, Interval
from lookalike.evaluation.pairs import Threshold
from lookalike.evaluation.plain import from_plain, to_plain

FORMAT = 1

METRICS: Mapping[str, str] = {
    "recall_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "recall_at_10": "recall@10",
    "map_at_r": "mAP@R",
    "recall_at_precision": "recall at precision",
}
"""Keys of the numbers with an interval, and what people read."""


@dataclass(frozen=True, slots=True)
class WantedThreshold:
    """The threshold for one wanted precision."""

    wanted: float
    threshold: Threshold


@dataclass(frozen=True, slots=True)
class SimilarityHistogram:
    """Numbers of pairs by score, in bins of equal width from `low` to `high`."""

    low: float
    high: float
    same: tuple[int, ...]
    different: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CategoryResult:
    """One category's queries.

    `precision` and `recall` are those of its queries' pairs at the threshold for the wanted precision; NaN
    where no pair is taken, or there is no such threshold.
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
    """How many queries of category `asked` have a nearest picture of category `found`."""

    asked: str
    found: str
    queries: int


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Pairs whose confidence lies in [low, high): their mean confidence, and the share that is right."""

    low: float
    high: float
    pairs: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Confidence, learned from nine tenths of the queries and judged on the ten nearest of the others.

    Attributes:
        expected_calibration_error: see `lookalike.confidence.expected_calibration_error`, in [0, 1].
        nearest_error: the same for the nearest picture of each query alone.
        separation: probability that a right match has a higher confidence than a wrong one (area under the
            ROC curve; ties count one half); NaN when all are right or all wrong.
        pairs: how many were judged.
        bins: 15 of equal width; empty ones are left out.
    """

    expected_calibration_error: float
    nearest_error: float
    separation: float
    pairs: int
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A gallery picture that a query found."""

    id: str
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class WorstQuery:
    """A query that went wrong, and its nearest pictures."""

    id: str
    label: str
    average_precision: float
    found: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class MapPoint:
    """A picture's place on the two-dimensional map; both coordinates in [0, 1]."""

    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class EncoderResult:
    """All about one encoder.

    Attributes:
        name: the encoder's id, or what the caller calls it.
        dimension: of its vectors.
        facts: anything else worth a column: precision, milliseconds, megabytes.
        metrics: by the keys of `METRICS`.
        threshold: the threshold for the report's wanted precision.
        thresholds: the same for other precisions.
        curve: about 200 points of precision against recall, recall rising.
        histogram: similarities of same and different pairs.
        categories: one line per category of the queries, worst first.
        confusion: categories of queries and of their nearest pictures; pairs that occur.
        reliability: None where the labels are too few to learn confidence from.
        worst: the worst queries.
        layout: a map of a sample of the pictures; empty if none was asked for.
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
    """What one weight of the trained features gives; `metrics` by what people read, in [0, 1]."""

    weight: float
    metrics: Mapping[str, float]
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Encoders side by side on one split.

    Attributes:
        title: what was evaluated.
        split: in words, which pictures were queries and which the gallery.
        queries, gallery: how many pictures each side has.
        unanswerable: queries whose category the gallery does not hold; no retrieval number counts them.
        categories: how many there are.
        wanted_precision: what `recall_at_precision` and `threshold` speak of.
        encoders: in the order given.
        differences: every encoder after the first, minus the first.
        blend: the trade-off of blending trained with frozen features, where a training measured it.
        notes: what readers should know.
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
        """Inverse of `to_json`. Raises Incompatible for another format or another shape."""
        if value.get("format") != FORMAT:
            raise Incompatible(
                "the evaluation was written in another format",
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
