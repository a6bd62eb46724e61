"""Search one collection and follow its changes."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lookalike.change_token import ChangeTokens, Sighting
from lookalike.confidence import ConfidenceModel, Judgement
from lookalike.encoders import Encoders
from lookalike.errors import CollectionNotFound, InvalidInput, NotReady
from lookalike.images import ImageLimits
from lookalike.layout import normalise
from lookalike.search.find_by_confidence import find_by_confidence
from lookalike.search.find_by_text import by_text
from lookalike.search.find_nearest import ByVector, Finder, Found, Request
from lookalike.search.loader import Loader, State
from lookalike.search.neighborhood import judge, nearest
from lookalike.search.query import Query, SearcherStatus, SearchResult
from lookalike.search.query_vector import part_target, row_or_raise, target_of
from lookalike.search.view import View
from lookalike.search_space import SAME_SCORE, EncoderScore
from lookalike.settings import Settings
from lookalike.storage import Store
from lookalike.text_search import TextReading
from lookalike.timing import span
from lookalike.types import Item, Match, Vector, score_from_distance

logger = logging.getLogger(__name__)

MIXED = "confidence is not known for images and words together"
ESTIMATES = 5
"""Categories in the answer to a query."""
PATIENCE_SECONDS = 1.0
"""How long the first search after a pause waits for changes before it uses the current state."""


class Searcher:
    """Search over one collection. Thread-safe.

    Each search uses one immutable state: one snapshot, one delta, one encoder. A background thread checks for
    changes at most every `refresh_seconds` and swaps in a new state. Searches do not wait for it, except the
    first one after a pause, for a second at most. While the store fails, the last state stays in use
    (see `status`).

    Args:
        artifacts: the artifacts store.
        collection: its name.
        settings: image limits and `refresh_seconds`.
        encoders: the registry of encoders.
        cache: folder for files of an S3 store; not used for a folder store.
        tokens: show whether anything changed, shared by all readers of a process; None: its own.
    """

    def __init__(
        self,
        artifacts: Store,
        collection: str,
        settings: Settings,
        encoders: Encoders,
        cache: Path,
        tokens: ChangeTokens | None = None,
    ) -> None:
        self.collection = collection
        self._tokens = tokens or ChangeTokens(artifacts)
        self._sighting: Sighting | None = None
        self._limits = ImageLimits.from_settings(settings)
        self._refresh_seconds = settings.refresh_seconds
        self._loader = Loader(artifacts, collection, encoders, cache)
        self._state: State | None = None
        self._problem: str | None = None
        self._checked = -float("inf")
        self._checked_at: str | None = None
        self._refreshing = threading.Lock()
        self._starting = threading.Lock()
        self._refresher: threading.Thread | None = None
        self._refresh_began = 0.0

    def search(self, query: Query) -> SearchResult:
        """The items most similar to the query, best first.

        Raises:
            CollectionNotFound: there is no such collection.
            NotReady: it has no items yet.
            InvalidInput: the query does not fit the collection; FilterError and ImageRejected are subclasses.
            ItemNotFound: the query names an unknown id.
            Incompatible: this version cannot read the current snapshot, and none was loaded before.
            StoreUnavailable: nothing was loaded yet and the store is not available.
        """
        started = time.perf_counter()
        state = self._current(needs_encoder=any(part.kind == "image" for part in query.parts))
        searched = self._searched(query, state)
        with span("find"):
            found, judgement = _find(query, searched)
        manifest = state.snapshot.manifest if state.snapshot else None
        return SearchResult(
            collection=self.collection,
            encoder=state.encoder.id,
            snapshot=manifest.id if manifest else None,
            index_time=manifest.created_at if manifest else None,
            took_ms=(time.perf_counter() - started) * 1000,
            matches=_matches(searched.finder, found, judgement, query.offset),
            category_estimate=judgement.estimates()[:ESTIMATES] if judgement else (),
            confidence_reason=searched.confidence_reason,
            text=searched.text,
        )

    def _searched(self, query: Query, state: State) -> _Searched:
        """What the query looks for, and what confidence in its matches stands on."""
        view = state.view
        if not query.has_text:
            target = target_of(
                query, view, dimension=state.dimension, limits=self._limits, encoder=state.encoder.get
            )
            finder = ByVector(view, target.vector)
            return _Searched(finder, state.confidence, state.confidence_reason, target.encoder_score)

        def vector_of(number: int) -> Vector:
            part = query.parts[number]
            return part_target(part, view, state.dimension, self._limits, state.encoder.get).vector

        by_words = by_text(query, view, state.text, vector_of)
        if by_words.reading.by == "meaning" and query.mode == "auto":
            # With other parts than words: learned for words alone, and so it says nothing here.
            return _Searched(by_words, None, MIXED, SAME_SCORE, by_words.reading)
        reason = state.text_confidence_reason
        return _Searched(by_words, state.text_confidence, reason, SAME_SCORE, by_words.reading)

    def item(self, item_id: str) -> Item:
        """One item, with its newest metadata.

        Raises:
            ItemNotFound: it does not exist; the message suggests the nearest ids.
            CollectionNotFound, NotReady: as for `search`.
        """
        view = self.state().view
        return view.item_at(row_or_raise(view, item_id))

    def state(self) -> State:
        """The state that `search` would use now, for many queries against one unchanging state.

        Raises:
            CollectionNotFound, NotReady, Incompatible, StoreUnavailable: as for `search`.
        """
        return self._current(needs_encoder=False)

    def warm(self) -> None:
        """Load everything that the first search would load. Raises what `search` raises."""
        self._current(needs_encoder=True).encoder.get()

    def refresh(self, *, force: bool = False) -> bool:
        """Check for changes now, in this thread. Returns whether the state changed.

        Args:
            force: check everything, even if the last check was less than `refresh_seconds` ago.

        Raises:
            CollectionNotFound, Incompatible, StoreUnavailable, …: the newest state cannot be loaded. The
                previous one stays in use, unless the collection was deleted.
        """
        with self._refreshing:
            if not force and self._state and time.monotonic() - self._checked < self._refresh_seconds:
                return False
            return self._refresh(needs_encoder=False, force=force)

    def settle(self, seconds: float) -> None:
        """Wait until no refresh is running, for `seconds` at most.

        For a process that may be frozen between two requests: a read in progress would be lost.
        """
        refresher = self._refresher
        if refresher is not None:
            refresher.join(seconds)

    def status(self) -> SearcherStatus:
        """The current status, without a request to the store."""
        state = self._state
        return SearcherStatus(
            collection=self.collection,
            encoder=state.encoder.id if state else None,
            snapshot=state.snapshot.manifest.id if state and state.snapshot else None,
            items=state.view.count if state else 0,
            delta=len(state.view.delta.ids) if state else 0,
            checked_at=self._checked_at,
            problem=self._problem,
        )

    # Following changes

    def _current(self, *, needs_encoder: bool) -> State:
        """The state to search, not much older than `refresh_seconds` unless the store is slow or fails."""
        if self._state is not None:
            age = time.monotonic() - self._checked
            if age >= self._refresh_seconds:
                refresher = self._start_refresh()
                if age >= 2 * self._refresh_seconds:
                    refresher.join(max(0.0, self._refresh_began + PATIENCE_SECONDS - time.monotonic()))
        state = self._state
        if state is None:
            with self._refreshing:
                if self._state is None:
                    self._refresh(needs_encoder=needs_encoder)
                state = self._state
            assert state is not None
        if state.snapshot is None and not state.view.size:
            raise NotReady("the collection has no items yet", got=self.collection, fix="Add images first.")
        return state

    def _start_refresh(self) -> threading.Thread:
        with self._starting:
            if self._refresher is None or not self._refresher.is_alive():
                self._refresh_began = time.monotonic()
                name = f"refresh {self.collection}"
                self._refresher = threading.Thread(target=self._try_refresh, name=name, daemon=True)
                self._refresher.start()
            return self._refresher

    def _try_refresh(self) -> None:
        try:
            self.refresh()
        except Exception:  # searches must continue after any error
            logger.warning("collection %s cannot be refreshed", self.collection, exc_info=True)

    def _refresh(self, *, needs_encoder: bool, force: bool = False) -> bool:
        """Swap in the newest state, if there may be one. The caller holds the lock."""
        try:
            with span("look for changes"):
                now = self._tokens.look(self.collection, max_age=0.0 if force else self._refresh_seconds)
        except Exception as error:
            self._problem = f"{type(error).__name__}: {error}"
            self._note_check(time.monotonic())
            raise
        if not force and self._sighting and self._sighting.is_unchanged(now):
            self._problem = None
            self._note_check(now.at)
            return False
        self._sighting = None
        changed = self._load(needs_encoder=needs_encoder)
        self._sighting = now  # read before the state, so that a later change has another token
        return changed

    def _load(self, *, needs_encoder: bool) -> bool:
        """Look at everything, and swap in the newest state."""
        before = self._state
        try:
            base = self._loader.next_base(before, needs_encoder=needs_encoder)
            self._state = self._loader.with_delta(base)
            self._problem = None
            if before is not None and before.snapshot is not self._state.snapshot:
                self._loader.forget(self._state)
        except CollectionNotFound as error:
            self._state = None
            self._problem = str(error)
            self._loader.forget(None)
            raise
        except Exception as error:
            self._problem = f"{type(error).__name__}: {error}"
            if before is not None:  # new rows are searchable even if a new snapshot cannot be loaded
                self._state = self._loader.with_delta(before)
            raise
        finally:
            self._note_check(time.monotonic())
        return self._state is not before

    def _note_check(self, at: float) -> None:
        self._checked = at
        self._checked_at = datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class _Searched:
    """What a query looks for.

    Attributes:
        finder: finds it.
        confidence: see `State`.
        confidence_reason: why there is none.
        encoder_score: see `Target`.
        text: how its words were understood.
    """

    finder: Finder
    confidence: ConfidenceModel | None
    confidence_reason: str | None
    encoder_score: EncoderScore
    text: TextReading | None = None


def _find(query: Query, searched: _Searched) -> tuple[Found, Judgement | None]:
    """The matches, and what the query's neighborhood says about it."""
    finder, model = searched.finder, searched.confidence
    request, own = _request(query, finder.view)
    if model is None:
        _check_needs_no_confidence(query, searched)
        return finder.find(request), None
    plain = query.filter is None and request.groups is None
    near = nearest(finder, model, own, request.needed + len(own) if plain else 0)
    judgement = judge(finder, near, model, own, searched.encoder_score)
    least = 0.0 if query.min_confidence is None else model.least(query.min_confidence)
    if query.rank_by == "confidence" or least > 0:
        return find_by_confidence(finder, request, judgement, least=least, rank_by=query.rank_by), judgement
    if not plain:
        return finder.find(request), judgement
    allowed = request.allowed[near.rows]
    return Found(near.rows[allowed][: request.needed], near.distances[allowed][: request.needed]), judgement


def _request(query: Query, view: View) -> tuple[Request, frozenset[int]]:
    """What to find, and the rows of the query's own items."""
    allowed = view.alive if query.filter is None else view.fulfilling(query.filter)
    named = (view.row_of(normalise(id_)) for id_ in query.named_ids)
    own = frozenset(row for row in named if row is not None)
    if own and not query.include_self:
        allowed = allowed.copy()
        allowed[list(own)] = False
    groups = None if query.group_by is None else view.groups(query.group_by)
    return Request(query.needed, allowed, groups), own


def _check_needs_no_confidence(query: Query, searched: _Searched) -> None:
    asked = "min_confidence" if query.min_confidence is not None else "rank_by: confidence"
    if query.min_confidence is not None or query.rank_by == "confidence":
        raise InvalidInput(
            f"{asked} is not available: {searched.confidence_reason}",
            fix=f"Give the items categories and build a snapshot, or omit {asked.partition(':')[0]}.",
        )


def _matches(finder: Finder, found: Found, judgement: Judgement | None, offset: int) -> tuple[Match, ...]:
    matches = []
    for row, distance in zip(found.rows[offset:].tolist(), found.distances[offset:].tolist(), strict=True):
        score = score_from_distance(distance, finder.metric)
        item = finder.view.item_at(row)
        confidence = judgement.confidence(item.category, score) if judgement else None
        likelihood = judgement.model.likelihood(confidence) if judgement else None
        matches.append(Match(item, score, distance, confidence, likelihood))
    return tuple(matches)
