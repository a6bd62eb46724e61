"""Outcomes → two commits: vectors first, then items.

An item is visible when its row is live and its vector is there. So a crash between the two shows no partial
item, and when the event is delivered again, the vector is found by its content hash and not encoded again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lookalike.catalogue import Catalogue, ItemRow
from lookalike.errors import StoreUnavailable
from lookalike.ingest.check_and_encode import Outcome
from lookalike.ingest.report import IngestReport
from lookalike.types import Vector


def commit(catalogue: Catalogue, outcomes: Sequence[Outcome], report: IngestReport) -> None:
    """Write what `outcomes` found and count it in `report`.

    Raises:
        StoreUnavailable: not everything was written; the events must be delivered again.
    """
    done = [outcome for outcome in outcomes if outcome.row]
    _put_vectors(catalogue, [outcome for outcome in done if outcome.row and outcome.row.status == "live"])
    catalogue.put_items([outcome.row for outcome in done if outcome.row and _is_news(outcome, outcome.row)])
    for outcome in outcomes:
        _count(outcome, report)


def _put_vectors(catalogue: Catalogue, outcomes: Sequence[Outcome]) -> None:
    """New vectors, and kept ones once more under the new sequencer.

    The sequencer of a kept vector must rise too: otherwise a slow worker with an older event could still
    replace
        it.
    """
    kept = {
        outcome.work.item_id
        for outcome in outcomes
        if outcome.vector is None and outcome.work.vector and outcome.work.vector[0] < outcome.work.sequencer
    }
    vectors: dict[str, Vector] = dict(zip(*catalogue.vectors(sorted(kept)), strict=True)) if kept else {}
    if len(vectors) < len(kept):
        raise StoreUnavailable(
            f"vectors of {len(kept) - len(vectors)} items were removed while they were read", fix="Try again."
        )
    vectors |= {outcome.work.item_id: outcome.vector for outcome in outcomes if outcome.vector is not None}
    changed = [outcome for outcome in outcomes if outcome.work.item_id in vectors]
    if changed:
        catalogue.put_vectors(
            [outcome.work.item_id for outcome in changed],
            [outcome.work.sequencer for outcome in changed],
            [outcome.row.content_hash if outcome.row else "" for outcome in changed],
            np.stack([vectors[outcome.work.item_id] for outcome in changed]),
        )


def _is_news(outcome: Outcome, row: ItemRow) -> bool:
    known = outcome.work.row
    return known is None or known.sequencer < row.sequencer


def _count(outcome: Outcome, report: IngestReport) -> None:
    if outcome.error:
        report.failed.append((outcome.work.event, outcome.error))
    elif outcome.row is None:
        report.missing += 1
    elif outcome.row.status == "removed":
        report.removed += 1
    elif outcome.row.status == "rejected":
        report.rejected += 1
    elif outcome.vector is None:
        report.reused += 1
    else:
        report.encoded += 1
