"""The words of a view's items: those of the snapshot, loaded when first used, and those of newer items."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookalike.search.view import Mask, Rows, View
from lookalike.snapshots import Snapshot, fetch_side_file
from lookalike.snapshots.manifest import OUTDATED
from lookalike.storage import Store
from lookalike.text_search.fusion import fused, mixed
from lookalike.text_search.inverted_index import Scores
from lookalike.text_search.item_text import ItemText
from lookalike.text_search.text_index import QueryWord, TextIndex, TextInfo, WordIndex
from lookalike.timing import span
from lookalike.types import Vector, Vectors

NO_WORDS = "no item has words: give the items titles, then build a snapshot"
NO_INDEX = "there is no index yet; searching images by meaning is learned when one is built"
OLDER = "the index was built by an earlier version, without words; build one: `lookalike snapshot build`"


@dataclass(frozen=True)
class ViewText:
    """The words of one view. Thread-safe.

    Attributes:
        size: of the view.
        base: the snapshot's words; None: it has none.
        fresh: words of items that are missing or outdated in the snapshot, by the snapshot's rarities.
        fresh_rows: their rows.
        added: images that the snapshot does not have, in the bridge's space.
        bridge_reason: why images cannot be searched by meaning; None: they can.
    """

    size: int
    base: TextIndex | None
    fresh: WordIndex
    fresh_rows: Rows
    added: Vectors | None
    bridge_reason: str | None

    @classmethod
    def of(cls, view: View, base: TextIndex | None, missing: str) -> ViewText:
        """That of a view over a snapshot with these words; `missing`: why there are none."""
        rows, items = view.fresh_items
        texts = [ItemText.of(item) for item in items]
        bridge = base.bridge if base else None
        added = bridge.images(view.delta.vectors) if bridge and len(view.delta.ids) else None
        reason = base.bridge_reason if base else missing
        return cls(view.size, base, WordIndex.build(texts, base.index if base else None), rows, added, reason)

    def read(self, text: str) -> tuple[QueryWord, ...]:
        """The words of a query, each as a word of the collection where one is near."""
        known = (self.base.index if self.base else self.fresh).read(text)
        if self.base is None:
            return known
        return tuple(_better(old, new) for old, new in zip(known, self.fresh.read(text), strict=True))

    def target(self, text: str, words: Sequence[QueryWord]) -> Vector | None:
        """A text in the bridge's space, (k,) float32; None: there is no bridge."""
        return self.base.target(text, words) if self.base else None

    def images(self, vectors: Vectors) -> Vectors | None:
        """Vectors as the view compares them, (n, d), in the bridge's space; None: there is no bridge."""
        return self.base.bridge.images(vectors) if self.base and self.base.bridge else None

    def meaning(self, target: Vector) -> Scores:
        """The cosine of every item's image to a target in the bridge's space, (size,) float32."""
        assert self.base is not None
        assert self.base.images is not None
        found = np.asarray(self.base.images @ target, np.float32)
        return found if self.added is None else np.concatenate([found, self.added @ target])

    def scores(self, words: Sequence[QueryWord], meaning: Scores | None) -> Scores:
        """How well every item fits the words of a query, (size,) float32; see `fused`."""
        usual = self.base.usual_best if self.base else 1.0
        return fused(*self._by_words(words), meaning, self.has_words, usual)

    def mixed(self, words: Sequence[QueryWord], meaning: Scores) -> Scores:
        """The same for words together with images; see `mixed`."""
        return mixed(*self._by_words(words), meaning)

    def _by_words(self, words: Sequence[QueryWord]) -> tuple[Scores, Scores]:
        known = self.base.index if self.base else None
        by_words, by_letters = np.zeros(self.size, np.float32), np.zeros(self.size, np.float32)
        if known is not None:
            count = known.words.size
            by_words[:count], by_letters[:count] = known.scores(words)
        by_words[self.fresh_rows], by_letters[self.fresh_rows] = self.fresh.scores(words, known)
        return by_words, by_letters

    @property
    def has_words(self) -> Mask:
        """Which items have any, (size,) bool."""
        found = np.zeros(self.size, bool)
        if self.base is not None:
            found[: len(self.base.has_words)] = self.base.has_words
        fresh = np.zeros(len(self.fresh_rows), bool)
        fresh[self.fresh.words.rows] = True
        found[self.fresh_rows] = fresh
        return found


def _better(old: QueryWord, new: QueryWord) -> QueryWord:
    """The reading of a word that is spelled as the query has it, or else that of the snapshot."""
    if new.read_as == new.word and old.read_as != old.word:
        return new
    return QueryWord(old.word, old.read_as or new.read_as, old.items)


class TextSlot:
    """The words of one snapshot, loaded on first use. Thread-safe."""

    def __init__(self, artifacts: Store, snapshot: Snapshot | None, cache: Path) -> None:
        self._artifacts = artifacts
        self._snapshot = snapshot
        self._cache = cache
        self._lock = threading.Lock()
        self._index: TextIndex | None = None
        self._last: tuple[View, ViewText] | None = None

    def of(self, view: View) -> ViewText:
        """The words of a view over the slot's snapshot.

        Raises:
            Damaged: a file is not what was written.
            SnapshotNotFound: the snapshot was replaced and its files removed.
            StoreUnavailable: the store is not available.
        """
        last = self._last
        if last is None or last[0] is not view:
            with self._lock:
                last = self._last
                if last is None or last[0] is not view:
                    base = self._loaded()
                    last = (view, ViewText.of(view, base, self._missing()))
                    self._last = last
        return last[1]

    def _missing(self) -> str:
        """Why the snapshot has no words."""
        if self._snapshot is None:
            return NO_INDEX
        reason = self._snapshot.manifest.text_confidence_reason
        return OLDER if reason == OUTDATED else NO_WORDS

    def _loaded(self) -> TextIndex | None:
        info = self._snapshot.manifest.text if self._snapshot else None
        if info is not None and self._index is None:
            with span("load words"):
                self._index = self._open(info)
        return self._index

    def _open(self, info: TextInfo) -> TextIndex:
        assert self._snapshot is not None
        manifest = self._snapshot.manifest
        text, *images = (fetch_side_file(manifest, name, self._artifacts, self._cache) for name in info.files)
        return TextIndex.open(info, text.read_bytes(), images[0] if images else None)
