"""Encoders side by side on the same labelled pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lookalike.errors import ImageRejected, InvalidInput

if TYPE_CHECKING:
    from lookalike.console import Console
    from lookalike.encoders import Encoder, Encoders
    from lookalike.types import Pixels, Precision, Vectors
    from lookalike.workspace import Workspace

MIN_PICTURES = 10
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture, read when it is needed, and its class."""

    read: Callable[[], bytes]
    label: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One encoder's line.

    `recall_at_1`: part of the pictures whose nearest other one has the same label.
    `milliseconds`: median of the model for one picture on one thread.
    """

    encoder: str
    precision: str
    recall_at_1: float
    dimension: int
    size_bytes: int
    milliseconds: float
    pictures: int


def from_folder(folder: Path, sample: int) -> list[LabelledPicture]:
    """Pictures of `folder`, evenly taken; the label is the first folder."""
    from lookalike.source import Source

    source = Source.scan(folder)
    names = _spread([name for name in source.pictures if "/" in name], sample)
    return [LabelledPicture((source.folder / name).read_bytes, name.partition("/")[0]) for name in names]


def from_collection(workspace: Workspace, collection: str, sample: int) -> list[LabelledPicture]:
    """Labelled items of a collection, evenly taken."""
    catalogue = workspace.catalogue(workspace.collections.get(collection))
    labelled = [
        (item.id, item.category) for batch in catalogue.scan() for item in batch.items if item.category
    ]

    def reader(item_id: str) -> Callable[[], bytes]:
        return lambda: workspace.images.get(f"{collection}/images/{item_id}").data

    return [LabelledPicture(reader(item_id), label) for item_id, label in _spread(labelled, sample)]


def compare(
    encoders: Encoders,
    ids: Sequence[str],
    pictures: Sequence[LabelledPicture],
    precision: Precision | None,
    console: Console,
) -> list[Comparison]:
    """One line for each of `ids`, in their order.

    Raises:
        EncoderNotFound: an id that is not there, before anything is measured.
        InvalidInput: too few labelled pictures.
    """
    if len(pictures) < MIN_PICTURES:
        raise InvalidInput(
            "too few labelled pictures to compare encoders",
            got=len(pictures),
            expected=f"{MIN_PICTURES} or more",
            fix="Put pictures in one folder per class, or name a collection whose items have categories.",
        )
    known = [encoders.get(encoder_id).id for encoder_id in ids]
    with console.progress("comparing", len(known) * len(pictures)) as advance:
        return [_measure(encoders.load(encoder_id, precision), pictures, advance) for encoder_id in known]


def _measure(
    encoder: Encoder, pictures: Sequence[LabelledPicture], advance: Callable[[int], None]
) -> Comparison:
    vectors, labels, seconds = [], [], []
    for picture in pictures:
        advance(1)
        pixels = _input(encoder, picture)
        if pixels is None:
            continue
        started = time.perf_counter()
        vectors.append(encoder.encode_one(pixels))
        seconds.append(time.perf_counter() - started)
        labels.append(picture.label)
    if len(labels) < MIN_PICTURES:
        raise InvalidInput("too few of the pictures can be read", got=len(labels), expected=MIN_PICTURES)
    return Comparison(
        encoder=encoder.manifest.id,
        precision=encoder.precision,
        recall_at_1=round(recall_at_1(np.stack(vectors), labels), 4),
        dimension=encoder.manifest.dimension,
        size_bytes=encoder.manifest.precision(encoder.precision).size_bytes,
        milliseconds=round(float(np.median(seconds)) * 1_000, 2),
        pictures=len(labels),
    )


def recall_at_1(vectors: Vectors, labels: Sequence[str]) -> float:
    """Part of the rows, (n, d) unit length, whose nearest other row has the same label."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    names = np.array(labels)
    return float(np.mean(names[similarity.argmax(axis=1)] == names))


def _input(encoder: Encoder, picture: LabelledPicture) -> Pixels | None:
    from lookalike.images import ImageLimits, read_image
    from lookalike.settings import Settings

    try:
        return read_image(picture.read(), ImageLimits.from_settings(Settings()), encoder.manifest.preprocess)[
            1
        ]
    except (ImageRejected, OSError):
        return None


def _spread(entries: Sequence[T], count: int) -> Sequence[T]:
    return entries[:: max(1, -(-len(entries) // count))]
