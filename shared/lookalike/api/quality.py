"""The quality of a collection's encoder, measured with the collection's own categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from pydantic import Field

from lookalike.api.caches import version_of
from lookalike.api.context import Context, context_of
from lookalike.api.http.access import Reader
from lookalike.api.http.models import EXAMPLE_ENCODER, EXAMPLE_SNAPSHOT, ResponseBody, example
from lookalike.api.http.openapi import problems
from lookalike.api.http.parameters import CollectionName

if TYPE_CHECKING:
    from lookalike.encoders import Encoders
    from lookalike.evaluation import EvaluationReport
    from lookalike.search.loader import State
    from lookalike.search.view import View

router = APIRouter(tags=["overviews"])
MAX_IMAGES = 10_000
MAX_QUERIES = 1_000
MAX_CONFUSIONS = 30
SPLIT_COLUMN = "attributes.split"


class IntervalResponse(ResponseBody):
    """A number with its 95 % confidence interval."""

    value: float | None
    low: float | None
    high: float | None


class ThresholdResponse(ResponseBody):
    """Precision and recall if pairs with at least this score count as the same category."""

    score: float | None
    precision: float
    recall: float


class HistogramResponse(ResponseBody):
    """Numbers of pairs by score, in bins of equal width from `low` to `high`."""

    low: float
    high: float
    same: list[int]
    different: list[int]


class CategoryQualityResponse(ResponseBody):
    """Metrics of the queries of one category."""

    name: str
    queries: int
    gallery: int
    recall_at_1: float | None
    map_at_r: float | None
    precision: float | None
    recall: float | None


class ConfusionResponse(ResponseBody):
    """The number of queries of one category whose best match has another category."""

    asked: str
    found: str
    queries: int


class ReliabilityBinResponse(ResponseBody):
    """Pairs whose confidence is in one bin: their mean confidence, and the share that is correct."""

    low: float
    high: float
    pairs: int
    confidence: float
    right: float


class QualityResponse(ResponseBody):
    """How well the current encoder finds images of the same category in this collection."""

    model_config = example(
        {
            "collection": "fashion",
            "encoder": EXAMPLE_ENCODER,
            "snapshot": EXAMPLE_SNAPSHOT,
            "split": "leave-one-out",
            "queries": 1000,
            "gallery": 3409,
            "categories": 10,
            "wanted_precision": 0.92,
            "metrics": {"recall_at_1": {"value": 0.801, "low": 0.78, "high": 0.82}},
            "threshold": {"score": 0.71, "precision": 0.92, "recall": 0.31},
            "curve": [{"score": 0.71, "precision": 0.92, "recall": 0.31}],
            "histogram": {"low": -1.0, "high": 1.0, "same": [10, 90], "different": [80, 20]},
            "by_category": [],
            "confusion": [{"asked": "shirt", "found": "longsleeve", "queries": 12}],
            "reliability": None,
            "calibration_error": None,
        }
    )

    collection: str
    encoder: str
    snapshot: str | None
    split: str = Field(description="How images were divided into queries and gallery, in words.")
    queries: int
    gallery: int
    categories: int
    wanted_precision: float
    metrics: dict[str, IntervalResponse]
    threshold: ThresholdResponse = Field(
        description="For the target precision. Score null: no threshold reaches it."
    )
    curve: list[ThresholdResponse] = Field(description="By increasing recall.")
    histogram: HistogramResponse
    by_category: list[CategoryQualityResponse] = Field(description="Worst first.")
    confusion: list[ConfusionResponse]
    reliability: list[ReliabilityBinResponse] | None
    calibration_error: float | None


@router.get("/collections/{collection}/quality", responses=problems(429), summary="Evaluate the encoder")
async def quality(
    request: Request,
    collection: CollectionName,
    _: Reader,
    precision: Annotated[float, Query(gt=0, le=1, description="Target precision of the threshold.")] = 0.92,
) -> QualityResponse:
    """How well the current encoder finds images of the same category, using the collection's own labels.

    The first call after a change takes seconds. Further calls use the cached result.
    """
    context = context_of(request)
    async with context.limiters.reports.slot() as slot:
        return await slot.run(_quality, context, collection, precision)


def _quality(context: Context, collection: str, wanted_precision: float) -> QualityResponse:
    state = context.library.searcher(collection).state()
    return context.reports.get(
        collection,
        "quality",
        (*version_of(state), wanted_precision),
        lambda: _evaluate(state, collection, context.library.encoders, wanted_precision),
    )


def _evaluate(state: State, collection: str, encoders: Encoders, wanted_precision: float) -> QualityResponse:
    """Evaluate the current encoder; `QuerySplit.choose` says with which queries.

    Raises:
        InvalidInput: the items have too few categories, or too few items have one.
    """
    from lookalike.evaluation import Candidate, QuerySplit, evaluate

    view = state.view
    labels = np.array(view.column("category").to_pylist(), object)
    rows = np.flatnonzero(view.alive & np.array([label is not None for label in labels], bool))
    if rows.size > MAX_IMAGES:
        rows = rows[np.linspace(0, rows.size - 1, MAX_IMAGES).round().astype(np.int64)]
    ids = [str(item_id) for item_id in view.column("id").take(rows).to_pylist()]
    marked = view.fields.get(SPLIT_COLUMN) == "text"
    splits = view.column(SPLIT_COLUMN).take(rows).to_pylist() if marked else [None] * len(ids)
    held_out = encoders.get(state.encoder.id).held_out
    split = QuerySplit.choose(ids, splits, [held_out], queries=MAX_QUERIES)
    candidate = Candidate(state.encoder.id, _vectors(view, rows), in_search_space=True)
    report = evaluate(
        [candidate], ids, [str(label) for label in labels[rows]], split, wanted_precision=wanted_precision
    )
    return _response(report, collection, state)


def _vectors(view: View, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    vectors = [view.vector_at(row) for row in rows.tolist()]
    return np.stack(vectors) if vectors else np.empty((0, 0), np.float32)


def _response(report: EvaluationReport, collection: str, state: State) -> QualityResponse:
    from lookalike.evaluation.to_json import to_plain

    result = report.encoders[0]
    plain: dict[str, Any] = to_plain(result)
    reliability = plain["reliability"]
    confusion = [each for each in plain["confusion"] if each["asked"] != each["found"]]
    return QualityResponse.model_validate(
        {
            "collection": collection,
            "encoder": result.name,
            "snapshot": state.snapshot.manifest.id if state.snapshot else None,
            **{
                name: getattr(report, name)
                for name in ("split", "queries", "gallery", "categories", "wanted_precision")
            },
            **{name: plain[name] for name in ("metrics", "threshold", "curve", "histogram")},
            "by_category": plain["categories"],
            "confusion": confusion[:MAX_CONFUSIONS],
            "reliability": reliability and reliability["bins"],
            "calibration_error": reliability and reliability["expected_calibration_error"],
        }
    )
