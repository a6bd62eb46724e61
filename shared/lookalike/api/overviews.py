"""A collection as a whole: what stands in it, its facets, its map, its quality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lookalike.api.overview_answers import FacetsAnswer, MapAnswer, QualityAnswer, StandingAnswer
from lookalike.errors import NotReady

if TYPE_CHECKING:
    from lookalike.api.maps import Maps
    from lookalike.api.service import Service
    from lookalike.search.loader import State


class Overviews:
    """Looks at whole collections. Safe to share between threads."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._maps: Maps | None = None
        self._qualities: dict[str, tuple[tuple[object, ...], QualityAnswer]] = {}

    def standing(self, collection: str) -> StandingAnswer:
        """What searches find now; a collection without items has nothing, which is no error."""
        config = self._service.collections.get(collection)
        try:
            state = self._service.searcher(collection).state()
        except NotReady:
            return StandingAnswer(
                collection=collection,
                items=0,
                delta=0,
                categories=0,
                encoder=config.encoder_id,
                snapshot=None,
                snapshot_at=None,
                last_ingested_at=None,
                calibrated=False,
            )
        manifest = state.snapshot.manifest if state.snapshot else None
        return StandingAnswer(
            collection=collection,
            items=state.view.count,
            delta=len(state.view.delta.ids),
            categories=len(state.view.column("category").drop_null().unique()),
            encoder=state.encoder.id,
            snapshot=manifest.id if manifest else None,
            snapshot_at=manifest.created_at if manifest else None,
            last_ingested_at=_newest(state),
            calibrated=state.calibration is not None,
        )

    def facets(self, collection: str, filter_: Mapping[str, Any] | None) -> FacetsAnswer:
        """Values and counts of fields. Raises FilterError, NotReady."""
        from lookalike.api.facets import facets_of

        return facets_of(self._service.searcher(collection).state().view, collection, filter_)

    def map(self, collection: str, most: int) -> MapAnswer:
        """Places of items. Raises NotReady: there are none."""
        from lookalike.api.maps import Maps

        if self._maps is None:
            self._maps = Maps(self._service.artifacts)
        return self._maps.of(self._service.searcher(collection).state(), collection, most)

    def quality(self, collection: str, wanted_precision: float) -> QualityAnswer:
        """The encoder's evaluation; the last answer of each collection is kept. Raises InvalidInput."""
        from lookalike.api.quality import quality_of

        state = self._service.searcher(collection).state()
        question = (state.etag, state.fingerprint, state.created_at, wanted_precision)
        known = self._qualities.get(collection)
        if known is None or known[0] != question:
            answer = quality_of(state, collection, self._service.encoders, wanted_precision)
            known = self._qualities[collection] = question, answer
        return known[1]


def _newest(state: State) -> str | None:
    import numpy as np
    import pyarrow.compute as pc

    rows = np.flatnonzero(state.view.alive)
    # ISO 8601 in one time zone sorts as text.
    newest = pc.max(state.view.column("ingested_at").take(rows)).as_py()
    return None if newest is None else str(newest)
