"""Queries and gallery on which two encoders are compared, and their vectors, read from tables if possible."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lookalike.catalogue import Catalogue
from lookalike.errors import InvalidInput
from lookalike.images import HASH_BYTES, ImageLimits, read_image
from lookalike.publishing.publish_rule import Comparison, QueryAndGallery, compare_vectors
from lookalike.training.sources.dataset import Example
from lookalike.training.sources.splits import split
from lookalike.types import Item, Vectors

if TYPE_CHECKING:
    from lookalike.encoders import EncoderManifest
    from lookalike.library import Library

T = TypeVar("T")
MAX_QUERIES = 4_000
MAX_GALLERY = 40_000
SEED = 0
ENOUGH_QUERIES = 100
"""With fewer of a collection's own items, the comparison uses images that the training held out, if more."""
NOT_LEARNT = "items of the collection that neither encoder was trained on"
OWN_LABELS = "the collection's own categories; too favourable if the encoder was trained on these images"
HELD_OUT = "images that the training held out"


def compare_on_collection(
    library: Library, collection: str, old_id: str, new_id: str, *, validation: Collection[str] | None = None
) -> Comparison:
    """Compare two encoders on the items of a collection that both have encoded.

    Args:
        library: of the store.
        collection: its name; the classes are its items' categories.
        old_id: the encoder in use.
        new_id: the new encoder.
        validation: ids of the queries; all others are the gallery. None: every item that neither encoder was
            trained on. If an encoder does not record what it was trained on: the items that the training of
            the new one held out, or those of a split without leakage.

    Raises:
        InvalidInput: too few items have categories.
    """
    old, new = (library.catalogue(collection, encoder_id) for encoder_id in (old_id, new_id))
    items = _labelled(old, new)
    manifests = [library.encoders.get(encoder_id) for encoder_id in (old_id, new_id)]
    if validation is None and all("training" not in each.details or len(each.learnt) for each in manifests):
        contents = {item_id: content for item_id, (_, content) in new.known_vectors().items()}
        asking = [item for item in items if not any(contents[item.id] in each.learnt for each in manifests)]
        if asking:
            return _compare_asking(old, new, items, asking, manifests[1])
    query_ids = frozenset(library.encoders.get(new_id).held_out if validation is None else validation)
    basis = HELD_OUT
    if validation is None and not any(item.id in query_ids for item in items):
        query_ids, basis = _split(items), OWN_LABELS
    queries = _sample([item for item in items if item.id in query_ids], MAX_QUERIES)
    gallery = _sample([item for item in items if item.id not in query_ids], MAX_GALLERY)
    if not queries or not gallery:
        raise _too_few_labels(len(items))

    def side(catalogue: Catalogue) -> QueryAndGallery:
        return _vectors(catalogue, queries), _vectors(catalogue, gallery)

    labels = [[item.category or "" for item in part] for part in (queries, gallery)]
    return compare_vectors(old_id, side(old), new_id, side(new), *labels, basis=basis)


def _compare_asking(
    old: Catalogue, new: Catalogue, items: Sequence[Item], asking: Sequence[Item], manifest: EncoderManifest
) -> Comparison:
    """Compare with some items as queries against all items but themselves."""
    if len({item.category for item in items}) < 2:
        raise _too_few_labels(len(items))
    queries, gallery = _sample(asking, MAX_QUERIES), _sample(items, MAX_GALLERY)
    rows = {item.id: row for row, item in enumerate(gallery)}
    itself = [(row, rows[item.id]) for row, item in enumerate(queries) if item.id in rows]
    pairs = np.array(itself, np.int64).reshape(-1, 2)

    def side(catalogue: Catalogue) -> QueryAndGallery:
        return _vectors(catalogue, queries), _vectors(catalogue, gallery)

    return compare_vectors(
        old.encoder_id,
        side(old),
        new.encoder_id,
        side(new),
        *([item.category or "" for item in part] for part in (queries, gallery)),
        basis=NOT_LEARNT,
        exclude=(pairs[:, 0], pairs[:, 1]),
        # The training may have used another field than the category.
        known_classes=manifest.categories & {item.category for item in items} or None,
    )


def compare_on_own_or_else(
    library: Library, collection: str, old_id: str, new_id: str, otherwise: Callable[[], Comparison | None]
) -> Comparison:
    """`compare_on_collection`, or another comparison if the collection is too small for it.

    Args:
        library: of the store.
        collection: its name.
        old_id: the encoder in use.
        new_id: the new encoder.
        otherwise: returns a comparison on other images, or None; called if the collection has fewer than 100
            queries, and used if it has more.

    Raises:
        InvalidInput: neither comparison is possible.
    """
    try:
        own = compare_on_collection(library, collection, old_id, new_id)
    except InvalidInput:
        other = otherwise()
        if other is None:
            raise
        return other
    other = otherwise() if own.queries < ENOUGH_QUERIES else None
    return other if other and other.queries > own.queries else own


class ExampleVectors:
    """Vectors of a training's images, as queries and gallery, by any encoder.

    An image that an item of the collection has too, byte for byte, is not encoded again.

    Attributes:
        queries: images that the training held out, or as many of them as are enough.
        gallery: images that it was trained on, likewise.

    Raises:
        InvalidInput: queries or gallery are empty.
    """

    def __init__(
        self,
        library: Library,
        collection: str | None,
        validation: Sequence[Example],
        train: Sequence[Example],
    ) -> None:
        self.queries = _sample(validation, MAX_QUERIES)
        self.gallery = _sample(train, MAX_GALLERY)
        if not self.queries or not self.gallery:
            raise _too_few_labels(len(validation) + len(train))
        self._library = library
        self._collection = collection
        self._hashes = {example.path: _sha256(example.path) for example in (*self.queries, *self.gallery)}
        self._known: dict[str, QueryAndGallery] = {}

    def side(self, encoder_id: str) -> QueryAndGallery:
        """Vectors of the queries and of the gallery by one encoder, made once."""
        if encoder_id not in self._known:
            source = _VectorSource(self._library, self._collection, encoder_id)
            first, second = (
                source.vectors([(example.path, self._hashes[example.path]) for example in part])
                for part in (self.queries, self.gallery)
            )
            self._known[encoder_id] = first, second
        return self._known[encoder_id]

    def compare(self, old_id: str, new_id: str) -> Comparison:
        """Both encoders on these images. Raises InvalidInput: no query has a match in the gallery."""
        labels = [[example.label for example in part] for part in (self.queries, self.gallery)]
        return compare_vectors(old_id, self.side(old_id), new_id, self.side(new_id), *labels, basis=HELD_OUT)


@dataclass(slots=True)
class _VectorSource:
    """Vectors of images by one encoder: from its table by content, else encoded now."""

    library: Library
    collection: str | None
    encoder_id: str

    def vectors(self, images: Sequence[tuple[Path, str]]) -> Vectors:
        """Vectors of files, given with their SHA-256; (n, d) float32."""
        if self.collection is None:
            return self._encode([path for path, _ in images])
        catalogue = self.library.catalogue(self.collection, self.encoder_id)
        ids = {content: item_id for item_id, (_, content) in catalogue.known_vectors().items()}
        wanted = {ids[content]: row for row, (_, content) in enumerate(images) if content in ids}
        found = np.zeros((len(images), catalogue.dimension), np.float32)
        known, vectors = catalogue.vectors(list(wanted))
        table = dict(zip(known, vectors, strict=True))
        rest = []
        for row, (path, content) in enumerate(images):
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
    """Ids of the queries, by the split that a training of this collection would make."""
    if len({item.category for item in items}) < 2:
        raise _too_few_labels(len(items))
    examples = [Example(item.id, Path(item.id), item.category or "", item.product_id) for item in items]
    hashes = np.zeros((len(items), HASH_BYTES), np.uint8)
    for row, item in enumerate(items):
        if item.perceptual_hash:
            hashes[row] = np.frombuffer(item.perceptual_hash, np.uint8)
    return frozenset(items[row].id for row in split(examples, hashes).validation)


def _too_few_labels(count: int) -> InvalidInput:
    return InvalidInput(
        "the encoders cannot be compared: too few images have a category",
        got=f"{count} that both encoders have encoded",
        expected="two categories or more, each with two images or more",
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
