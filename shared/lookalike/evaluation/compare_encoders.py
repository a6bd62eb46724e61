"""Several encoders on the same labelled images: their vectors, and a query/gallery split without leakage."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lookalike.encoders import Encoder, EncoderManifest, Encoders
from lookalike.errors import ImageRejected, InvalidInput, LookalikeError
from lookalike.evaluation.choose_queries import QuerySplit
from lookalike.evaluation.evaluate import Candidate, evaluate
from lookalike.evaluation.report import EvaluationReport
from lookalike.images import DecodedImage, ImageLimits, decode, model_input, perceptual_hash
from lookalike.images.connected_components import Union
from lookalike.images.copies import close_pairs
from lookalike.layout import image_key
from lookalike.settings import Settings
from lookalike.types import Pixels, Precision, Vector

if TYPE_CHECKING:
    from lookalike.library import Library

NEAR_DUPLICATE_BITS = 31
QUERIES = 2_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image, read when it is needed, its class, and the split that metadata gives it."""

    id: str
    read: Callable[[], bytes]
    label: str
    split: str | None = None


@dataclass(slots=True)
class Encoded:
    """Images that could be read, and their vectors by every encoder, in the same order.

    Attributes:
        images: those that could be read.
        candidates: one per encoder.
        milliseconds: by encoder id: median of the model for one image on one thread.
        hashes: perceptual hash of each image, or None.
        unreadable: how many images were left out.
    """

    images: list[LabelledImage]
    candidates: list[Candidate] = field(default_factory=list)
    milliseconds: dict[str, float] = field(default_factory=dict)
    hashes: list[bytes | None] = field(default_factory=list)
    unreadable: int = 0


def from_collection(
    library: Library, collection: str, sample: int | None, label: str | None = None
) -> list[LabelledImage]:
    """Labelled items of a collection, evenly taken; the label is the category, or the attribute `label`."""
    catalogue = library.catalogue(collection)

    def reader(item_id: str) -> Callable[[], bytes]:
        return lambda: library.images.get(image_key(collection, item_id)).data

    found = []
    for batch in catalogue.scan():
        for item in batch.items:
            name = item.category if label is None else item.attributes.get(label)
            if name is not None:
                split = str(item.attributes.get("split") or "") or None
                found.append(LabelledImage(item.id, reader(item.id), str(name), split))
    if label is not None and not found:
        raise InvalidInput("no item has this attribute", got=label, fix="Name a column of the metadata.")
    return list(spread(found, sample))


def encode(
    encoders: Encoders,
    ids: Sequence[str],
    images: Sequence[LabelledImage],
    precision: Precision | None,
    advance: Callable[[int], None] | None = None,
) -> Encoded:
    """Vectors of all images that can be read, by each of `ids`; an image is decoded once for all.

    Args:
        encoders: the registry.
        ids: ids or names of encoders.
        images: what to encode.
        precision: of the models; None: each encoder's own.
        advance: called after each image with 1.

    Raises:
        EncoderNotFound: there is no such encoder, or not in this precision; raised before anything is
            encoded.
        InvalidInput: no image can be read.
    """
    manifests = list({manifest.id: manifest for manifest in map(encoders.get, ids)}.values())
    loaded = [encoders.load(manifest.id, precision) for manifest in manifests]
    done = Encoded([])
    vectors: list[list[Vector]] = [[] for _ in loaded]
    seconds: list[list[float]] = [[] for _ in loaded]
    for picture in images:
        if advance:
            advance(1)
        if not _take(picture, loaded, vectors, seconds, done):
            done.unreadable += 1
    if not done.images:
        raise InvalidInput("none of the images can be read", got=len(images), expected="some that can")
    for encoder, own, times in zip(loaded, vectors, seconds, strict=True):
        milliseconds = round(float(np.median(times)) * 1_000, 2)
        done.milliseconds[encoder.manifest.id] = milliseconds
        facts = {
            "precision of the model": encoder.precision,
            "MB": f"{encoder.manifest.precision(encoder.precision).size_bytes / 1e6:.1f}",
            "ms/picture": f"{milliseconds:g}",
        }
        done.candidates.append(Candidate(encoder.manifest.id, np.stack(own), facts))
    return done


def _take(
    picture: LabelledImage,
    encoders: Sequence[Encoder],
    vectors: list[list[Vector]],
    seconds: list[list[float]],
    done: Encoded,
) -> bool:
    """Encode one image with all; False if it cannot be read."""
    sides = {encoder.manifest.preprocess.min_side for encoder in encoders}
    images = {side: _decoded(picture, side) for side in sorted(sides)}
    for number, encoder in enumerate(encoders):
        image = images[encoder.manifest.preprocess.min_side]
        if image is None:
            return False
        pixels = model_input(image, encoder.manifest.preprocess)
        started = time.perf_counter()
        vectors[number].append(encoder.encode_one(pixels))
        seconds[number].append(time.perf_counter() - started)
    done.images.append(picture)
    assert image is not None
    done.hashes.append(perceptual_hash(image))
    return True


def choose_split(
    images: Sequence[LabelledImage],
    hashes: Sequence[bytes | None],
    manifests: Sequence[EncoderManifest],
    *,
    leave_one_out: bool = False,
    queries: int = QUERIES,
) -> QuerySplit:
    """`QuerySplit.choose` for images that were read: near-duplicates (31 of 256 bits) do not find each other.

    With `leave_one_out`, every image is a query, even if some were held out of a training.
    """

    def near_duplicates() -> tuple[np.ndarray, np.ndarray]:
        return _near_duplicates(hashes)

    if leave_one_out:
        return QuerySplit.leave_one_out(len(images), near_duplicates=near_duplicates(), queries=queries)
    return QuerySplit.choose(
        [picture.id for picture in images],
        [picture.split for picture in images],
        [manifest.held_out for manifest in manifests],
        near_duplicates=near_duplicates,
        queries=queries,
    )


def evaluate_encoders(  # noqa: PLR0913  # all but three by name and with defaults
    encoders: Encoders,
    ids: Sequence[str],
    images: Sequence[LabelledImage],
    *,
    title: str,
    precision: Precision | None = None,
    precision_target: float = 0.92,
    leave_one_out: bool = False,
    queries: int = QUERIES,
    layout: bool = False,
    notes: Sequence[str] = (),
    advance: Callable[[int], None] | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[EvaluationReport, Encoded]:
    """Encode labelled images with each encoder, split them without leakage, and evaluate.

    Args:
        encoders: the registry.
        ids: ids or names of encoders; the others are compared with the first.
        images: see `from_collection`.
        title: of the report.
        precision: of the models; None: each encoder's own.
        precision_target: the precision for which to find a threshold.
        leave_one_out: use every image as a query, even if some were held out of a training.
        queries: maximum number of queries in leave-one-out.
        layout: compute a map of the images.
        notes: for the report.
        advance: called after each image with 1.
        progress: called before each step.

    Raises:
        EncoderNotFound: there is no such encoder, or not in this precision.
        InvalidInput: the images are too few, or none can be read.
    """
    encoded = encode(encoders, ids, images, precision, advance)
    if encoded.unreadable:
        notes = (*notes, f"{encoded.unreadable} images could not be read and were left out")
    split = choose_split(
        encoded.images,
        encoded.hashes,
        [encoders.get(candidate.name) for candidate in encoded.candidates],
        leave_one_out=leave_one_out,
        queries=queries,
    )
    report = evaluate(
        encoded.candidates,
        [image.id for image in encoded.images],
        [image.label for image in encoded.images],
        split,
        title=title,
        wanted_precision=precision_target,
        layout=layout,
        progress=progress,
    )
    return replace(report, notes=tuple(notes)), encoded


def thumbnails(images: Sequence[LabelledImage]) -> Callable[[str], Pixels | None]:
    """Reads an image by its id, for a report; an image that several queries find is read once."""
    known = {picture.id: picture for picture in images}

    @lru_cache(maxsize=256)
    def read(picture_id: str) -> Pixels | None:
        picture = known.get(picture_id)
        image = _decoded(picture, 256) if picture else None
        return image.pixels if image else None

    return read


def _near_duplicates(hashes: Sequence[bytes | None]) -> tuple[np.ndarray, np.ndarray]:
    """All pairs within groups of near-duplicates."""
    known = np.array([row for row, value in enumerate(hashes) if value is not None], np.int64)
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    if len(known):
        values = np.frombuffer(b"".join(value for value in hashes if value is not None), np.uint8)
        groups = Union(len(hashes))
        for one, other, _ in close_pairs(values.reshape(len(known), -1), NEAR_DUPLICATE_BITS):
            groups.join(known[one].tolist(), known[other].tolist())
        for group in groups.groups():
            first, second = np.meshgrid(group, group)
            left.append(first.ravel())
            right.append(second.ravel())
    return np.concatenate(left), np.concatenate(right)


def _decoded(picture: LabelledImage, min_side: int) -> DecodedImage | None:
    try:
        return decode(picture.read(), ImageLimits.from_settings(Settings()), min_side=min_side)
    except (ImageRejected, OSError):
        return None
    except LookalikeError:  # the object is gone, or the store fails
        return None


def spread(entries: Sequence[T], count: int | None) -> Sequence[T]:
    """At most `count` entries (None: all), evenly taken."""
    return entries if count is None else entries[:: max(1, -(-len(entries) // count))]
