"""Load the current state of a collection: check the store for changes and build the next view."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from lookalike.catalogue import Catalogue, CatalogueVersion
from lookalike.collection_config import CollectionConfig, Collections
from lookalike.confidence import ConfidenceModel
from lookalike.encoders import Encoder, Encoders
from lookalike.errors import Incompatible, LookalikeError, ObjectNotFound, SnapshotNotFound
from lookalike.search.delta import DeltaRows
from lookalike.search.view import View
from lookalike.search.view_text import TextSlot, ViewText
from lookalike.snapshots import (
    Pointer,
    Snapshot,
    forget_snapshots,
    open_snapshot,
    pointer_path,
    read_manifest,
)
from lookalike.storage import Store
from lookalike.timing import span

logger = logging.getLogger(__name__)

LOAD_ATTEMPTS = 3


class EncoderSlot:
    """An encoder that is loaded on first use, or earlier in a background thread."""

    def __init__(self, encoders: Encoders, encoder_id: str) -> None:
        self.id = encoder_id
        self._encoders = encoders
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether `get` returns without loading."""
        return self._encoder is not None

    def get(self) -> Encoder:
        """The encoder. Raises EncoderNotFound, Incompatible, StoreUnavailable; the next call tries again."""
        if self._encoder is None:
            with self._lock:
                if self._encoder is None:
                    self._encoder = self._encoders.load(self.id)
        return self._encoder

    def prefetch(self) -> None:
        """Start loading in the background."""
        threading.Thread(target=self._try, name=f"load {self.id}", daemon=True).start()

    def _try(self) -> None:
        try:
            self.get()
        except LookalikeError as error:  # `get` raises it to the caller that needs the encoder
            logger.warning("encoder %s cannot be loaded: %s", self.id, error)


@dataclass(frozen=True, slots=True)
class State:
    """A view, with everything needed to search it and to detect that it is outdated.

    Attributes:
        view: what to search.
        encoder: encodes query images.
        words: those of the snapshot's items, loaded when first asked for.
        dimension: of the encoder's vectors.
        catalogue: with that encoder's vectors; the source of the delta.
        etag: of the pointer; None before the first snapshot.
        created_at: of the collection, only before the first snapshot; distinguishes it from a later
            collection of the same name.
        fingerprint: of the catalogue when the delta was read.
    """

    view: View
    encoder: EncoderSlot
    words: TextSlot
    dimension: int
    catalogue: Catalogue
    etag: str | None
    fingerprint: str
    created_at: str | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot in the view."""
        return self.view.snapshot

    @property
    def text(self) -> ViewText:
        """The words of the view's items."""
        return self.words.of(self.view)

    @property
    def text_confidence(self) -> ConfidenceModel | None:
        """The same for a query of words."""
        return self.view.snapshot.manifest.text_confidence if self.view.snapshot else None

    @property
    def text_confidence_reason(self) -> str | None:
        """Why matches of words have no confidence; None: they have one."""
        if self.view.snapshot is None:
            return self.confidence_reason
        return self.view.snapshot.manifest.text_confidence_reason

    @property
    def confidence(self) -> ConfidenceModel | None:
        """How probable a match is of the query's category; None: not known."""
        return self.view.snapshot.manifest.confidence if self.view.snapshot else None

    @property
    def confidence_reason(self) -> str | None:
        """Why matches have no confidence; None: they have one."""
        if self.view.snapshot is None:
            return "there is no index yet; confidence is learned when one is built"
        return self.view.snapshot.manifest.confidence_reason


class Loader:
    """Loads the states of one collection. Not thread-safe."""

    def __init__(self, artifacts: Store, collection: str, encoders: Encoders, cache: Path) -> None:
        self._artifacts = artifacts
        self._collection = collection
        self._encoders = encoders
        self._cache = cache

    def next_base(self, state: State | None, *, needs_encoder: bool) -> State:
        """`state`, or a state with a newer snapshot and an empty delta.

        Args:
            state: the state in use.
            needs_encoder: a query image is waiting, so load the encoder in parallel with the snapshot.

        Raises:
            CollectionNotFound: the collection was deleted.
            Incompatible: this version cannot read the snapshot or its encoder.
        """
        for attempt in range(LOAD_ATTEMPTS):
            try:
                etag = state.etag if state else None
                with span("read pointer"):
                    blob = self._artifacts.get_if_changed(pointer_path(self._collection), etag)
                if blob is None:
                    assert state is not None
                    return state
                return self._with_snapshot(Pointer.parse(blob.data), blob.etag, state, needs_encoder)
            except ObjectNotFound:
                return self._without_snapshot(state, needs_encoder)
            except SnapshotNotFound:  # replaced and removed after the pointer was read
                if attempt == LOAD_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def forget(self, state: State | None) -> None:
        """Remove downloaded files that only states before `state` needed; None: it was deleted."""
        snapshot = state.snapshot if state else None
        kept = snapshot.manifest.id if snapshot else None
        forget_snapshots(self._cache, self._collection, but=kept)
        self._encoders.forget_unused()

    def with_delta(self, state: State) -> State:
        """`state`, or a state whose delta includes later commits to the catalogue."""
        # Before the delta: a commit in between is read now, and detected again next time.
        with span("look for changes"):
            fingerprint = state.catalogue.fingerprint()
        if fingerprint == state.fingerprint:
            return state
        delta = state.view.delta
        with span("read changes"):
            changes = state.catalogue.delta(delta.version)
        if state.view.space is not None:
            changes = replace(changes, vectors=state.view.space.project(changes.vectors))
        return replace(state, fingerprint=fingerprint, view=state.view.advanced(delta.advanced(changes)))

    def _with_snapshot(self, pointer: Pointer, etag: str, state: State | None, needs_encoder: bool) -> State:
        slot = self._slot(pointer.encoder_id, state, needs_encoder)
        with span("read manifests"):
            manifest = read_manifest(self._artifacts, self._collection, pointer.snapshot_id)
            dimension = self._encoders.get(manifest.encoder_id).dimension
        found = manifest.encoder_dimension
        if dimension != found or slot.id != manifest.encoder_id:
            raise Incompatible(
                f"snapshot {manifest.id} and its encoder do not fit together",
                got=f"dimension {found} of encoder {manifest.encoder_id} in the snapshot",
                expected=f"dimension {dimension} of encoder {slot.id}",
                fix="Build a new snapshot: `lookalike snapshot build`.",
            )
        snapshot = open_snapshot(manifest, self._artifacts, self._cache)
        if state is not None and state.encoder.is_loaded:
            slot.get()  # before the swap, so that no search waits for it
        catalogue = Catalogue(self._artifacts, self._collection, manifest.encoder_id, dimension)
        delta = DeltaRows(manifest.catalogue)
        return State(
            view=View(manifest.metric, snapshot, delta, source=catalogue.vectors),
            encoder=slot,
            words=TextSlot(self._artifacts, snapshot, self._cache),
            dimension=dimension,
            catalogue=catalogue,
            etag=etag,
            fingerprint=manifest.fingerprint,
        )

    def _without_snapshot(self, state: State | None, needs_encoder: bool) -> State:
        config = Collections(self._artifacts).get(self._collection)
        if state is not None and state.etag is None and _is_of(state, config):
            return state
        slot = self._slot(config.encoder_id, state, needs_encoder)
        dimension = self._encoders.get(config.encoder_id).dimension
        return State(
            view=View(config.metric, None, DeltaRows(CatalogueVersion())),
            encoder=slot,
            words=TextSlot(self._artifacts, None, self._cache),
            dimension=dimension,
            catalogue=Catalogue(self._artifacts, self._collection, config.encoder_id, dimension),
            etag=None,
            fingerprint="",
            created_at=config.created_at,
        )

    def _slot(self, encoder_id: str, state: State | None, needs_encoder: bool) -> EncoderSlot:
        if state is not None and state.encoder.id == encoder_id:
            return state.encoder
        slot = EncoderSlot(self._encoders, encoder_id)
        if needs_encoder:
            slot.prefetch()
        return slot


def _is_of(state: State, config: CollectionConfig) -> bool:
    return (state.encoder.id, state.view.metric, state.created_at) == (
        config.encoder_id,
        config.metric,
        config.created_at,
    )
