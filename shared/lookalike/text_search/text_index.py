"""What a snapshot knows of its items' words: an inverted index of words, one of their letters, a bridge.

`TextIndex` belongs to a snapshot and never changes. `text.npz` holds it, `text-images.npy` the snapshot's
images as the bridge sees them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.errors import Incompatible
from lookalike.text_search.bridge import Bridge
from lookalike.text_search.fit_bridge import BridgeQuality, FittedBridge
from lookalike.text_search.inverted_index import InvertedIndex, Scores, trigrams
from lookalike.text_search.item_text import ItemText
from lookalike.text_search.spelling import nearest_word
from lookalike.text_search.text_encoder import TextEncoder, normal_text
from lookalike.text_search.word_vectors import word_vectors, word_vectors_id
from lookalike.types import Vector, Vectors
from lookalike.words import plain_text, words

TEXT_FILE = "text.npz"
IMAGES_FILE = "text-images.npy"
MAX_QUERY_WORDS = 64
BLOCK_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class TextInfo:
    """What a snapshot's manifest says about its words.

    Attributes:
        file: in the snapshot's folder.
        items: that have words.
        images_file: the images as the bridge sees them; None: there is no bridge.
        bridge_reason: why there is none.
        table_id: the table of word vectors that the bridge's texts were encoded with; None: letters alone.
        quality: of the bridge.
        fitted_on: items that had words when the bridge was learned, or could not be.
    """

    file: str
    items: int
    images_file: str | None = None
    bridge_reason: str | None = None
    table_id: str | None = None
    quality: BridgeQuality | None = None
    fitted_on: int = 0

    @property
    def files(self) -> tuple[str, ...]:
        """In the snapshot's folder."""
        return (self.file, self.images_file) if self.images_file else (self.file,)


@dataclass(frozen=True, slots=True)
class QueryWord:
    """One word of a query, and how it was understood.

    Attributes:
        word: as the query has it.
        read_as: the collection's word that it is taken for; None: the collection has no such word.
        items: how many items of the snapshot have that word.
    """

    word: str
    read_as: str | None
    items: int


@dataclass(frozen=True, slots=True)
class TextReading:
    """How the words of a query were understood.

    Attributes:
        words: each of them.
        by: what was compared.
        note: why meaning was not; None: it was, or was not asked for.
    """

    words: tuple[QueryWord, ...]
    by: str
    note: str | None


@dataclass(frozen=True)
class WordIndex:
    """Words and letters of some items. Thread-safe."""

    words: InvertedIndex
    letters: InvertedIndex

    @classmethod
    def build(cls, texts: Sequence[ItemText], like: WordIndex | None = None) -> WordIndex:
        """Of every item in order; `like`: whose rarities to take over."""
        terms = [text.terms() for text in texts]
        letters = [trigrams(one) for one in terms]
        return cls(
            InvertedIndex.build(terms, like.words if like else None),
            InvertedIndex.build(letters, like.letters if like else None),
        )

    def read(self, text: str) -> tuple[QueryWord, ...]:
        """The words of a query, each as a word of these items where one is near."""
        found = dict.fromkeys(words(plain_text(text))[:MAX_QUERY_WORDS])
        return tuple(self._read(word) for word in found)

    def _read(self, word: str) -> QueryWord:
        count = self.words.count_of(word)
        table = word_vectors()
        if count or (table is not None and table.pieces.is_word(word)):
            return QueryWord(word, word if count else None, count)
        near = nearest_word(word, self.words.terms, self.words.count_of)
        return QueryWord(word, near, count if near is None else self.words.count_of(near))

    def scores(self, query: Sequence[QueryWord], like: WordIndex | None = None) -> tuple[Scores, Scores]:
        """How much of the query's words, and of their letters, each item has; each (n,) float32."""
        terms = [one.read_as or one.word for one in query]
        return (
            self.words.scores(dict.fromkeys(terms, 1.0), like.words if like else None),
            self.letters.scores(dict.fromkeys(trigrams(terms), 1.0), like.letters if like else None),
        )


@dataclass(frozen=True)
class TextIndex:
    """The words of a snapshot's items. Thread-safe.

    Attributes:
        info: what the manifest says.
        index: of its items, in row order.
        bridge: None: there is none, or it cannot be used here.
        encoder: of the bridge's texts.
        images: (n, k) float32: the items' images in the bridge's space.
        bridge_reason: why there is no bridge.
    """

    info: TextInfo
    index: WordIndex
    bridge: Bridge | None
    encoder: TextEncoder | None
    images: Vectors | None
    bridge_reason: str | None

    def meaning(self, text: str, read: Sequence[QueryWord]) -> Scores | None:
        """The cosine of every image to a text, (n,) float32; None: there is no bridge."""
        target = self.target(text, read)
        return None if target is None or self.images is None else np.asarray(self.images @ target, np.float32)

    def target(self, text: str, read: Sequence[QueryWord]) -> Vector | None:
        """A text in the bridge's space, (k,) float32, with its misspelt words mended; None: there is no
        bridge."""
        if self.bridge is None or self.encoder is None:
            return None
        mended = {one.word: one.read_as for one in read if one.read_as and one.read_as != one.word}
        written = " ".join(mended.get(word, word) for word in normal_text(text).split())
        return np.asarray(self.bridge.texts(self.encoder.encode([written]))[0])

    @property
    def usual_best(self) -> float:
        """The best cosine that titles usually have."""
        return self.info.quality.usual_best if self.info.quality else 1.0

    @cached_property
    def has_words(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether each item has any; (n,) bool."""
        found = np.zeros(self.index.words.size, bool)
        found[self.index.words.rows] = True
        return found

    @classmethod
    def open(cls, info: TextInfo, text: bytes, images: Path | None) -> TextIndex:
        """From the snapshot's files.

        Raises:
            Incompatible: a file does not hold what it should.
        """
        arrays = _arrays(info, text)
        try:
            index = WordIndex(InvertedIndex.of(arrays, "words"), InvertedIndex.of(arrays, "letters"))
            if images is None:
                return cls(info, index, None, None, None, info.bridge_reason)
            bridge = Bridge.of(arrays)
        except (KeyError, ValueError) as error:
            raise Incompatible(f"{info.file} cannot be read", got=str(error)) from error
        try:
            encoder = TextEncoder.of(arrays, info.table_id)
        except Incompatible as error:  # words still find what they name
            return cls(info, index, None, None, None, str(error))
        return cls(info, index, bridge, encoder, np.load(images, mmap_mode="r"), None)


def read_bridge(info: TextInfo, text: bytes) -> FittedBridge | None:
    """The bridge of a snapshot, for the next one; None: it has none, or it was made with another table of
    words than is installed. Raises Incompatible: the file does not hold what it should."""
    if info.images_file is None or info.quality is None or info.table_id != word_vectors_id():
        return None
    arrays = _arrays(info, text)
    try:
        return FittedBridge(TextEncoder.of(arrays, info.table_id), Bridge.of(arrays), info.quality)
    except KeyError as error:
        raise Incompatible(f"{info.file} cannot be read", got=str(error)) from error


def _arrays(info: TextInfo, text: bytes) -> dict[str, Any]:
    try:
        with np.load(io.BytesIO(text), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, OSError) as error:
        raise Incompatible(f"{info.file} cannot be read", got=str(error)) from error


def write_text_index(
    folder: Path,
    texts: Sequence[ItemText],
    fitted: FittedBridge | None,
    bridge_reason: str | None,
    vectors: Vectors,
    fitted_on: int,
) -> TextInfo:
    """Write the words of all items, and their images as the bridge sees them, (n, d) `vectors`."""
    index = WordIndex.build(texts)
    arrays = {**index.words.arrays("words"), **index.letters.arrays("letters")}
    if fitted is not None:
        arrays |= {**fitted.encoder.arrays(), **fitted.bridge.arrays()}
        _write_images(folder / IMAGES_FILE, fitted.bridge, vectors)
    np.savez(folder / TEXT_FILE, allow_pickle=False, **arrays)
    return TextInfo(
        TEXT_FILE,
        sum(1 for text in texts if text.short),
        IMAGES_FILE if fitted else None,
        bridge_reason,
        fitted.encoder.table_id if fitted else None,
        fitted.quality if fitted else None,
        fitted_on,
    )


def _write_images(path: Path, bridge: Bridge, vectors: Vectors) -> None:
    shape = (len(vectors), bridge.dimension)
    written = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = np.asarray(vectors[start : start + BLOCK_ROWS], np.float32)
        written[start : start + BLOCK_ROWS] = bridge.images(block)
    written.flush()
