"""From the library's values to what travels over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import Request

from lookalike.api.answers import (
    CollectionAnswer,
    ItemAnswer,
    ResultAnswer,
    SearchAnswer,
    SnapshotAnswer,
)
from lookalike.api.service import Service
from lookalike.api.training_answers import ComparisonAnswer, TrainingAnswer
from lookalike.api.values import CollectionState
from lookalike.search.query import SearchResult
from lookalike.types import Attribute, Item, Match

if TYPE_CHECKING:
    from lookalike.snapshots import SnapshotManifest
    from lookalike.training_jobs import Training


def service_of(request: Request) -> Service:
    """The service behind the app that handles `request`."""
    service: Service = request.app.state.service
    return service


def base_url(request: Request) -> str:
    """Where this API is, as the caller sees it; no slash at its end."""
    return str(request.base_url).rstrip("/")


def image_url(base: str, collection: str, item_id: str) -> str:
    """Where an item's picture is."""
    return f"{base}/collections/{collection}/images/{quote(item_id)}"


def metadata_of(item: Item) -> dict[str, Attribute]:
    """Everything known of an item beyond its category and product: its title and its attributes."""
    title = {} if item.title is None else {"title": item.title}
    return {**title, **item.attributes}


def search_answer(result: SearchResult, base: str) -> SearchAnswer:
    """The answer to a search."""
    return SearchAnswer(
        collection=result.collection,
        encoder=result.encoder,
        snapshot=result.snapshot,
        index_time=result.index_time,
        took_ms=round(result.took_ms, 3),
        results=[_result(match, result.collection, base) for match in result.matches],
    )


def _result(match: Match, collection: str, base: str) -> ResultAnswer:
    item = match.item
    return ResultAnswer(
        id=item.id,
        score=match.score,
        distance=match.distance,
        confidence=match.confidence,
        category=item.category,
        product_id=item.product_id,
        metadata=metadata_of(item),
        image_url=image_url(base, collection, item.id),
    )


def item_answer(item: Item, collection: str, base: str) -> ItemAnswer:
    """One item."""
    return ItemAnswer(
        id=item.id,
        category=item.category,
        product_id=item.product_id,
        metadata=metadata_of(item),
        width=item.width,
        height=item.height,
        ingested_at=item.ingested_at,
        image_url=image_url(base, collection, item.id),
    )


def collection_answer(state: CollectionState) -> CollectionAnswer:
    """One collection."""
    config = state.config
    return CollectionAnswer(
        name=config.name,
        encoder=config.encoder_id,
        metric=config.metric,
        engine=config.engine,
        n_trees=config.n_trees,
        search_k=config.search_k,
        recall_target=config.recall_target,
        created_at=config.created_at,
        snapshot=None if state.snapshot is None else _snapshot(state.snapshot),
    )


def _snapshot(manifest: SnapshotManifest) -> SnapshotAnswer:
    measured = manifest.index.measured if manifest.index else {}
    return SnapshotAnswer(
        id=manifest.id, created_at=manifest.created_at, items=manifest.count, recall=measured.get("recall")
    )


def training_answer(training: Training, base: str) -> TrainingAnswer:
    """One training."""
    here = f"{base}/collections/{training.collection}/trainings/{training.id}"
    same = {name: getattr(training, name) for name in TrainingAnswer.model_fields if hasattr(training, name)}
    compared = training.comparison
    return TrainingAnswer(
        **same
        | {
            "options": dict(training.options),
            "metrics": dict(training.metrics),
            "notes": list(training.notes),
            "comparison": ComparisonAnswer.model_validate(compared) if compared else None,
        },
        encoder=training.encoder_id,
        report_url=f"{here}/report" if training.has_report else None,
    )
