"""The map of a collection: the places that its snapshot has, and places for what came since."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import numpy as np

from lookalike.api.overview_answers import MapAnswer
from lookalike.errors import ObjectNotFound
from lookalike.projection import Positions, project, project_among, read_positions
from lookalike.snapshots import snapshot_folder

if TYPE_CHECKING:
    from lookalike.search.loader import State
    from lookalike.search.view import View
    from lookalike.storage import Store

logger = logging.getLogger(__name__)

MOST_KNOWN = 2_000
"""Items of a snapshot among which later ones are placed."""


class Maps:
    """Maps of the collections of one store; each collection's last one is kept."""

    def __init__(self, artifacts: Store) -> None:
        self._artifacts = artifacts
        self._lock = threading.Lock()
        self._stored: dict[str, tuple[str, Positions]] = {}
        self._whole: dict[str, tuple[tuple[object, ...], Positions]] = {}

    def of(self, state: State, collection: str, most: int) -> MapAnswer:
        """At most `most` items of a state, evenly drawn in the order of their ids."""
        view = state.view
        places = self._places(state, collection)
        rows = np.flatnonzero(view.alive)
        total = rows.size
        if total > most:
            rows = rows[np.linspace(0, total - 1, most).round().astype(np.int64)]
        labels = view.column("category").take(rows).to_pylist()
        names = sorted({label for label in labels if label is not None})
        numbers = {name: number for number, name in enumerate(names)}
        return MapAnswer(
            collection=collection,
            snapshot=state.snapshot.manifest.id if state.snapshot else None,
            total=total,
            ids=[str(item_id) for item_id in view.column("id").take(rows).to_pylist()],
            x=np.round(places[rows, 0].astype(float), 5).tolist(),
            y=np.round(places[rows, 1].astype(float), 5).tolist(),
            category=[-1 if label is None else numbers[label] for label in labels],
            categories=names,
        )

    def _places(self, state: State, collection: str) -> Positions:
        """Of every row of the view."""
        question = (state.etag, state.fingerprint, state.created_at)
        with self._lock:
            known = self._whole.get(collection)
        if known is not None and known[0] == question:
            return known[1]
        places = self._with_delta(state.view, self._base(state, collection))
        with self._lock:
            self._whole[collection] = question, places
        return places

    def _base(self, state: State, collection: str) -> Positions:
        """Of the snapshot's rows: as it stores them, or made now for one that is older than maps."""
        if state.snapshot is None:
            return np.empty((0, 2), np.float32)
        manifest = state.snapshot.manifest
        with self._lock:
            known = self._stored.get(collection)
        if known is not None and known[0] == manifest.id:
            return known[1]
        places = None
        if manifest.places:
            try:
                path = f"{snapshot_folder(collection, manifest.id)}/{manifest.places}"
                places = read_positions(self._artifacts.get(path).data)
            except (ObjectNotFound, ValueError) as error:  # the snapshot was replaced, or its file is damaged
                logger.warning("%s has no readable map: %s", manifest.id, error)
        if places is None or len(places) != manifest.count:
            places = project(state.snapshot.vectors)
        with self._lock:
            self._stored[collection] = manifest.id, places
        return places

    @staticmethod
    def _with_delta(view: View, base: Positions) -> Positions:
        fresh = np.asarray(view.delta.vectors, np.float32)
        if not len(fresh):
            return base
        if not len(base):
            return project(fresh)
        assert view.snapshot is not None
        rows = np.unique(np.linspace(0, len(base) - 1, min(MOST_KNOWN, len(base))).round().astype(np.int64))
        known = np.asarray(view.snapshot.vectors[rows], np.float32)
        return np.concatenate([base, project_among(fresh, known, base[rows])])
