"""How well a collection's encoder finds, judged on the collection's own categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.api.overview_answers import QualityAnswer
from lookalike.confidence import HELD_OUT_SPLITS
from lookalike.evaluation import Candidate, QuerySplit, evaluate
from lookalike.evaluation.plain import to_plain

if TYPE_CHECKING:
    from lookalike.encoders import Encoders
    from lookalike.evaluation import EvaluationReport
    from lookalike.search.loader import State
    from lookalike.search.view import View

MOST_PICTURES = 10_000
MOST_QUERIES = 1_000
SPLIT_COLUMN = "attributes.split"
MOST_CONFUSIONS = 30


def quality_of(state: State, collection: str, encoders: Encoders, wanted_precision: float) -> QualityAnswer:
    """Judge the encoder that serves.

    Pictures that its training held out ask; else those whose metadata says so in the column `split`; else
    every picture asks all the others.

    Raises:
        InvalidInput: the items have too few categories, or too few items have one.
    """
    view = state.view
    labels = np.array(view.column("category").to_pylist(), object)
    rows = np.flatnonzero(view.alive & np.array([label is not None for label in labels], bool))
    if rows.size > MOST_PICTURES:
        rows = rows[np.linspace(0, rows.size - 1, MOST_PICTURES).round().astype(np.int64)]
    ids = [str(item_id) for item_id in view.column("id").take(rows).to_pylist()]
    split = _split(view, rows, ids, encoders.get(state.encoder.id).held_out)
    candidate = Candidate(state.encoder.id, _vectors(view, rows, state.dimension))
    report = evaluate(
        [candidate], ids, [str(label) for label in labels[rows]], split, wanted_precision=wanted_precision
    )
    return _answer(report, collection, state)


def _split(view: View, rows: NDArray[np.int64], ids: list[str], held_out: frozenset[str]) -> QuerySplit:
    asks = np.array([item_id in held_out for item_id in ids], bool)
    if asks.any() and not asks.all():
        return QuerySplit.held_out(asks, "queries are those that the training of the encoder held out")
    if view.fields.get(SPLIT_COLUMN) == "text":
        named = QuerySplit.by_name(view.column(SPLIT_COLUMN).take(rows).to_pylist(), HELD_OUT_SPLITS)
        if named is not None:
            return named
    return QuerySplit.leave_one_out(len(ids), queries=MOST_QUERIES)


def _vectors(view: View, rows: NDArray[np.int64], dimension: int) -> NDArray[np.float32]:
    vectors = np.empty((rows.size, dimension), np.float32)
    for place, row in enumerate(rows.tolist()):
        vectors[place] = view.vector_at(row)
    return vectors


def _answer(report: EvaluationReport, collection: str, state: State) -> QualityAnswer:
    result = report.encoders[0]
    plain: dict[str, Any] = to_plain(result)
    judged = plain["reliability"]
    return QualityAnswer.model_validate(
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
            "confusion": [each for each in plain["confusion"] if each["asked"] != each["found"]][
                :MOST_CONFUSIONS
            ],
            "reliability": judged and judged["bins"],
            "calibration_error": judged and judged["expected_calibration_error"],
        }
    )
