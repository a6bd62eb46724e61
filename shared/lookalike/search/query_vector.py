"""Combine the parts of a query into one vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np

from lookalike.encoders import Encoder
from lookalike.errors import InvalidInput, ItemNotFound
from lookalike.images import ImageLimits, read_image
from lookalike.layout import normalise, other_spellings
from lookalike.search.query import Query, QueryPart
from lookalike.search.view import View
from lookalike.search_space import SAME_SCORE, EncoderScore
from lookalike.timing import span
from lookalike.types import Vector

SMALLEST_NORM = 1e-6


@dataclass(frozen=True, slots=True)
class Target:
    """What a query looks for.

    Attributes:
        vector: as the view compares it, (d,) float32. For cosine its length is arbitrary.
        encoder_score: how its scores compare with those by the encoder's numbers.
    """

    vector: Vector
    encoder_score: EncoderScore


def target_of(
    query: Query,
    view: View,
    *,
    dimension: int,
    limits: ImageLimits,
    encoder: Callable[[], Encoder],
) -> Target:
    """The parts of a query as one vector.

    Args:
        query: its parts are summed by weight.
        view: the source of items' vectors, as stored.
        dimension: of the encoder's vectors.
        limits: for images in the query.
        encoder: called only for images.

    Raises:
        InvalidInput: a vector of another dimension, or parts that cancel out.
        ImageRejected: an image that cannot be decoded.
        ItemNotFound: an unknown id.
    """
    parts = [part_target(part, view, dimension, limits, encoder) for part in query.parts]
    return Target(_combined(query, view, [part.vector for part in parts]), _mean_score(query, parts))


def _combined(query: Query, view: View, vectors: list[Vector]) -> Vector:
    if view.metric == "cosine":
        units = [unit_or_raise(vector) for vector in vectors]
        if len(vectors) == 1 and query.parts[0].weight > 0:
            return vectors[0]  # unchanged, so that an item's distance to itself is 0
        return unit_or_raise(_sum(query, units))
    total = sum(part.weight for part in query.parts)
    if total <= 0:
        raise InvalidInput("the weights cancel out", got=total, expected="a sum above 0")
    return np.asarray(_sum(query, vectors) / np.float32(total), np.float32)


def _sum(query: Query, vectors: list[Vector]) -> Vector:
    weighted = [part.weight * vector for part, vector in zip(query.parts, vectors, strict=True)]
    return np.asarray(np.sum(weighted, axis=0), np.float32)


def _mean_score(query: Query, parts: list[Target]) -> EncoderScore:
    """That of the parts, by weight."""
    weights = np.abs([part.weight for part in query.parts])
    numbers = [astuple(part.encoder_score) for part in parts]
    return EncoderScore(*np.average(numbers, axis=0, weights=weights).tolist())


def part_target(
    part: QueryPart, view: View, dimension: int, limits: ImageLimits, encoder: Callable[[], Encoder]
) -> Target:
    """One part of a query that is no text. Raises what `target_of` raises."""
    match part.kind, part.value:
        case "image", bytes(data):
            loaded = encoder()
            with span("encode"):
                _, pixels = read_image(data, limits, loaded.manifest.preprocess)
                return _searched(view, loaded.encode_one(pixels))
        case "id", str(item_id):
            usual = view.space.usual_score if view.space else SAME_SCORE
            return Target(stored_vector(view, item_id), usual)
        case _, value:
            return _searched(view, _given_vector(value, dimension))


def _searched(view: View, vector: Vector) -> Target:
    """A vector of the encoder as the view compares it."""
    if view.space is None:
        return Target(vector, SAME_SCORE)
    projected = view.space.describe(vector[None])
    return Target(projected.vectors[0], EncoderScore(*projected.scores[0].tolist()))


def stored_vector(view: View, item_id: str) -> Vector:
    """The vector of an item of the view. Raises ItemNotFound, with the nearest ids."""
    return view.vector_at(row_or_raise(view, item_id))


def row_or_raise(view: View, item_id: str) -> int:
    """The row of an item of the view. Raises ItemNotFound, with the nearest ids."""
    # Snapshots of earlier versions may have ids that are not in NFC.
    spelled = (normalise(item_id), item_id, *other_spellings(item_id))
    row = next((row for one in spelled if (row := view.row_of(one)) is not None), None)
    if row is None:
        near = view.near_ids(item_id)
        raise ItemNotFound(
            "no such item", got=repr(item_id), fix=f"Did you mean {' or '.join(near)}?" if near else None
        )
    return row


def _given_vector(value: object, dimension: int) -> Vector:
    try:
        with np.errstate(over="ignore"):  # values beyond float32 are rejected below
            vector = np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidInput("invalid query vector", expected="a list of numbers") from error
    if vector.shape != (dimension,):
        raise InvalidInput(
            "the query vector has another dimension than the collection",
            got=" × ".join(map(str, vector.shape)) or "a number",
            expected=dimension,
        )
    if not np.isfinite(vector).all():
        raise InvalidInput("the query vector is not finite", expected="numbers")
    return vector


def unit_or_raise(vector: Vector) -> Vector:
    """A vector scaled to length 1. Raises InvalidInput: it is zero, or nearly."""
    norm = float(np.linalg.norm(vector))
    if norm < SMALLEST_NORM:
        raise InvalidInput(
            "the query vector is zero",
            got=f"a vector of length {norm:.2g}",
            fix="Use a non-zero vector, or parts and weights that do not cancel out.",
        )
    return np.asarray(vector / np.float32(norm), np.float32)
