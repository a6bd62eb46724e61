"""What goes out over HTTP about a collection as a whole."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lookalike.api.answers import Answer


class StandingAnswer(Answer):
    """What searches of a collection find now, and how fresh that is."""

    collection: str
    items: int = Field(description="Items that a search can find.")
    delta: int = Field(description="Of these, the ones newer than the snapshot.")
    categories: int
    encoder: str | None
    snapshot: str | None
    snapshot_at: str | None
    last_ingested_at: str | None = Field(description="When the newest item came in.")
    calibrated: bool = Field(description="Whether results have a confidence.")


class FacetValueAnswer(Answer):
    """A value, and how many items have it."""

    value: str | float | bool
    count: int


class FacetAnswer(Answer):
    """One field of the items: its values, most frequent first, or its range."""

    field: str
    kind: Literal["text", "number", "boolean"]
    items: int = Field(description="Items that have a value.")
    distinct: int
    values: list[FacetValueAnswer]
    low: float | None = Field(description="Least number.")
    high: float | None = Field(description="Greatest number.")


class FacetsAnswer(Answer):
    """How many items there are under a filter, and their fields."""

    collection: str
    items: int
    facets: list[FacetAnswer]


class MapAnswer(Answer):
    """Items and their places, as columns of equal length; places lie in [0, 1]."""

    collection: str
    snapshot: str | None
    total: int = Field(description="Items of the collection; more than those given where there are many.")
    ids: list[str]
    x: list[float]
    y: list[float]
    category: list[int] = Field(description="Numbers into `categories`; −1: none.")
    categories: list[str]


class IntervalAnswer(Answer):
    """A number, and the interval that holds 95 % of its draws."""

    value: float | None
    low: float | None
    high: float | None


class ThresholdAnswer(Answer):
    """What happens when pairs with at least this score are taken for the same category."""

    score: float | None
    precision: float
    recall: float


class HistogramAnswer(Answer):
    """Numbers of pairs by score, in bins of equal width from `low` to `high`."""

    low: float
    high: float
    same: list[int]
    different: list[int]


class CategoryQualityAnswer(Answer):
    """One category's queries."""

    name: str
    queries: int
    gallery: int
    recall_at_1: float | None
    map_at_r: float | None
    precision: float | None
    recall: float | None


class ConfusionAnswer(Answer):
    """How many queries of one category have a nearest picture of another."""

    asked: str
    found: str
    queries: int


class ReliabilityBinAnswer(Answer):
    """Pairs whose confidence lies in one bin: their mean confidence, and the share that is right."""

    low: float
    high: float
    pairs: int
    confidence: float
    right: float


class QualityAnswer(Answer):
    """How well the encoder that serves finds pictures of the same category in this collection."""

    collection: str
    encoder: str
    snapshot: str | None
    split: str = Field(description="In words, which pictures asked and which could be found.")
    queries: int
    gallery: int
    categories: int
    wanted_precision: float
    metrics: dict[str, IntervalAnswer]
    threshold: ThresholdAnswer = Field(description="For the wanted precision; score null: none reaches it.")
    curve: list[ThresholdAnswer] = Field(description="Recall rising.")
    histogram: HistogramAnswer
    by_category: list[CategoryQualityAnswer] = Field(description="Worst first.")
    confusion: list[ConfusionAnswer]
    reliability: list[ReliabilityBinAnswer] | None
    calibration_error: float | None
