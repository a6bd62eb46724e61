"""Vectors of products' images, by an encoder or from a collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from lookalike.encoders import Encoder
from lookalike.errors import ImageRejected
from lookalike.images import ImageLimits, read_image
from lookalike.matching.listing import Listing, listing_of
from lookalike.metadata import Record, RowProblem
from lookalike.search.loader import State
from lookalike.types import Vectors


def with_vectors(
    listing: Listing, encoder: Encoder, limits: ImageLimits, advance: Callable[[int], None] | None = None
) -> Listing:
    """The listing with a vector for each image that can be read; the others are reported and left out.

    Args:
        listing: `images` names the files.
        encoder: the same for both listings.
        limits: of the images.
        advance: called after each image with 1.
    """
    vectors = np.full((len(listing), encoder.manifest.dimension), np.nan, np.float32)
    problems = list(listing.problems)
    for row, path in enumerate(listing.images):
        if path is None:
            continue
        try:
            _, pixels = read_image(path.read_bytes(), limits, encoder.manifest.preprocess)
            vectors[row] = encoder.encode_one(pixels)
        except (ImageRejected, OSError) as error:
            problems.append(RowProblem(row + 1, f"{path.name}: {error}"))
        if advance:
            advance(1)
    return replace(listing, vectors=vectors, problems=tuple(problems))


def listing_of_collection(name: str, state: State) -> Listing:
    """The items of a collection as products; an item without a title is called by the name of its file."""
    view = state.view
    rows = np.flatnonzero(view.alive).tolist()
    vectors = np.empty((len(rows), state.dimension), np.float32)
    records = []
    for position, row in enumerate(rows):
        item = view.item_at(row)
        title = item.title or PurePosixPath(item.id).stem.replace("_", " ")
        records.append(Record(position + 1, {**item.attributes, "id": item.id, "title": title}))
        vectors[position] = view.vector_at(row)
    return replace(listing_of(name, records, {"id": "id", "title": "title"}), vectors=vectors)


def comparable(left: Listing, right: Listing) -> tuple[Listing, Listing]:
    """Both listings with vectors centred on their common mean and of unit length, so that scores tell more.

    A collection's own mean carries no information about which product an image shows (Mu & Viswanath 2018,
    https://arxiv.org/abs/1702.01417).
    """
    if left.vectors is None or right.vectors is None:
        return replace(left, vectors=None), replace(right, vectors=None)
    mean = np.nanmean(np.concatenate([left.vectors, right.vectors]), axis=0)
    return replace(left, vectors=_unit(left.vectors - mean)), replace(
        right, vectors=_unit(right.vectors - mean)
    )


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-12)), np.float32)
