"""The questions on which two encoders are compared, and their vectors: from the tables if they are there."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lookalike.catalogue import Catalogue
from lookalike.errors import InvalidInput
from lookalike.images import HASH_BYTES, ImageLimits, read_image
from lookalike.publishing.comparison import Comparison, Side, compare_vectors
from lookalike.training.sources.dataset import Example
from lookalike.training.sources.splits import split
from lookalike.types import Item, Vectors

if TYPE_CHECKING:
    from lookalike.library import Library

T = TypeVar("T")
MAX_QUERIES = 4_000
MAX_GALLERY = 40_000
SEED = 0
OWN_LABELS = "the collection's own categories; if the encoder was trained on these pictures, that flatters it"
HELD_OUT = "pictures that the training held out"


def judge_collection(
    library: Library, collection: str, old_id: str, new_id: str, *, validation: Collection[str] | None = None
) -> Comparison:
    """Compare two encoders on the items of a collection that both have encoded.

    Args:
        library: of the store.
        collection: its name; the classes are its items' categories.
        old_id: encoder that serves.
        new_id: encoder that may serve.
        validation: ids that ask; all the others may be found. None: those that the training of the new
            encoder held out, or, where the collection has none of them, those of a split without leaks.

    Raises:
        InvalidInput: the items have no categories by which anything could be told.
    """
    old, new = (library.catalogue(collection, encoder_id) for encoder_id in (old_id, new_id))
    items = _labelled(old, new)
    asking = frozenset(library.encoders.get(new_id).held_out if validation is None else validation)
    basis = HELD_OUT
    if validation is None and not any(item.id in asking for item in items):
        asking, basis = _split(items), OWN_LABELS
    queries = _sample([item for item in items if item.id in asking], MAX_QUERIES)
    gallery = _sample([item for item in items if item.id not in asking], MAX_GALLERY)
    if not queries or not gallery:
        raise _nothing_to_ask(len(items))

    def side(catalogue: Catalogue) -> Side:
        return _vectors(catalogue, queries), _vectors(catalogue, gallery)

    labels = [[item.category or "" for item in part] for part in (queries, gallery)]
    return compare_vectors(old_id, side(old), new_id, side(new), *labels, basis=basis)


def judge_examples(
    library: Library,
    collection: str,
    old_id: str,
    new_id: str,
    validation: Sequence[Example],
    train: Sequence[Example],
) -> Comparison:
    """Compare two encoders on the pictures of a training: those it held out ask, those it learnt are found.

    A picture that an item of the collection has too, byte for byte, is not encoded again.

    Raises:
        InvalidInput: nothing can be asked.
    """
    return ExampleVectors(library, collection, validation, train).compare(old_id, new_id)


class ExampleVectors:
    """Vectors of a training's pictures, on two sides, by any encoder.

    Attributes:
        queries: pictures that the training held out, or as many of them as are enough.
        gallery: those that it learnt, likewise.

    Raises:
        InvalidInput: one of the sides is empty.
    """

    def __init__(
        self, library: Library, collection: str, validation: Sequence[Example], train: Sequence[Example]
    ) -> None:
        self.queries = _sample(validation, MAX_QUERIES)
        self.gallery = _sample(train, MAX_GALLERY)
        if not self.queries or not self.gallery:
            raise _nothing_to_ask(len(validation) + len(train))
        self._library = library
        self._collection = collection
        self._hashes = {example.path: _sha256(example.path) for example in (*self.queries, *self.gallery)}
        self._known: dict[str, Side] = {}

    def side(self, encoder_id: str) -> Side:
        """Vectors of the queries and of the gallery by one encoder, made once."""
        if encoder_id not in self._known:
            source = _Source(self._library, self._collection, encoder_id)
            first, second = (
                source.vectors([(example.path, self._hashes[example.path]) for example in part])
                for part in (self.queries, self.gallery)
            )
            self._known[encoder_id] = first, second
        return self._known[encoder_id]

    def compare(self, old_id: str, new_id: str) -> Comparison:
        """Both encoders on these pictures. Raises InvalidInput: nothing can be asked."""
        labels = [[example.label for example in part] for part in (self.queries, self.gallery)]
        return compare_vectors(old_id, self.side(old_id), new_id, self.side(new_id), *labels, basis=HELD_OUT)


@dataclass(slots=True)
class _Source:
    """Vectors of pictures by one encoder: from its table by content, else encoded now."""

    library: Library
    collection: str
    encoder_id: str

    def vectors(self, pictures: Sequence[tuple[Path, str]]) -> Vectors:
        """Vectors of files, given with their SHA-256; (n, d) float32."""
        catalogue = self.library.catalogue(self.collection, self.encoder_id)
        ids = {content: item_id for item_id, (_, content) in catalogue.known_vectors().items()}
        wanted = {ids[content]: row for row, (_, content) in enumerate(pictures) if content in ids}
        found = np.zeros((len(pictures), catalogue.dimension), np.float32)
        known, vectors = catalogue.vectors(list(wanted))
        table = dict(zip(known, vectors, strict=True))
        rest = []
        for row, (path, content) in enumerate(pictures):
            vector = table.get(ids.get(content, ""))
            if vector is None:
                rest.append((row, path))
            else:
                found[row] = vector
        if rest:
            found[[row for row, _ in rest]] = self._encode([path for _, path in rest])
        return found

    def _encode(self, paths: Sequence[Path]) -> Vectors:
        encoder = self.library.encoders.load(self.encoder_id)
        limits = ImageLimits.from_settings(self.library.settings)

        def encode(path: Path) -> Vectors:
            return encoder.encode_one(read_image(path.read_bytes(), limits, encoder.manifest.preprocess)[1])

        with ThreadPoolExecutor(self.library.settings.threads) as pool:
            return np.stack(list(pool.map(encode, paths)))


def _labelled(old: Catalogue, new: Catalogue) -> list[Item]:
    """Visible items with a category that both encoders have encoded, by id."""
    both = new.known_vectors().keys()
    return [
        item for batch in old.scan() for item in batch.items if item.category is not None and item.id in both
    ]


def _split(items: Sequence[Item]) -> frozenset[str]:
    """Ids that ask, by the split that a training of this collection would make."""
    if len({item.category for item in items}) < 2:
        raise _nothing_to_ask(len(items))
    examples = [Example(item.id, Path(item.id), item.category or "", item.product_id) for item in items]
    hashes = np.zeros((len(items), HASH_BYTES), np.uint8)
    for row, item in enumerate(items):
        if item.perceptual_hash:
            hashes[row] = np.frombuffer(item.perceptual_hash, np.uint8)
    return frozenset(items[row].id for row in split(examples, hashes).validation)


def _nothing_to_ask(count: int) -> InvalidInput:
    return InvalidInput(
        "nothing tells which of the two encoders is better: there are too few pictures with a category",
        got=f"{count} that both encoders know",
        expected="two categories or more, each with two pictures or more",
        fix="Give the items categories, or publish with force.",
    )


def _sample(rows: Sequence[T], most: int) -> Sequence[T]:
    """`rows`, or as many of them as are enough, in their order."""
    if len(rows) <= most:
        return rows
    chosen = np.random.default_rng(SEED).choice(len(rows), most, replace=False)
    return [rows[row] for row in sorted(chosen.tolist())]


def _vectors(catalogue: Catalogue, items: Sequence[Item]) -> Vectors:
    ids, vectors = catalogue.vectors([item.id for item in items])
    place = {item_id: row for row, item_id in enumerate(ids)}
    return vectors[[place[item.id] for item in items]]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
