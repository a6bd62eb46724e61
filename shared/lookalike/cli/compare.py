"""Labelled pictures for an evaluation, and their vectors by each encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lookalike.errors import ImageRejected, InvalidInput, LookalikeError
from lookalike.layout import image_key

if TYPE_CHECKING:
    from lookalike.console import Console
    from lookalike.encoders import Encoder, EncoderManifest, Encoders
    from lookalike.evaluation import Candidate, EvaluationReport, QuerySplit
    from lookalike.images import DecodedImage
    from lookalike.types import Pixels, Precision, Vector
    from lookalike.workspace import Workspace

NEAR_DUPLICATE_BITS = 31
QUERIES = 2_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture, read when it is needed, its class, and the side that metadata gives it."""

    id: str
    read: Callable[[], bytes]
    label: str
    split: str | None = None


@dataclass(slots=True)
class Encoded:
    """What came of encoding: rows of pictures that could be read, by all encoders alike.

    Attributes:
        pictures: those that could be read.
        candidates: one per encoder.
        milliseconds: by encoder id: median of the model for one picture on one thread.
        hashes: perceptual hash of each picture, or None.
        unreadable: how many pictures were left out.
    """

    pictures: list[LabelledPicture]
    candidates: list[Candidate] = field(default_factory=list)
    milliseconds: dict[str, float] = field(default_factory=dict)
    hashes: list[bytes | None] = field(default_factory=list)
    unreadable: int = 0


def from_folder(
    folder: Path, scratch: Path, sample: int | None, label: str | None = None
) -> tuple[list[LabelledPicture], tuple[str, ...]]:
    """Pictures of a folder or zip file, evenly taken, as a training would read them; and notes."""
    from lookalike.training.sources.dataset import read_source

    dataset = read_source(folder, scratch, label=label)
    return [
        LabelledPicture(example.id, example.path.read_bytes, example.label, example.split)
        for example in _spread(dataset.examples, sample)
    ], dataset.notes


def from_collection(
    workspace: Workspace, collection: str, sample: int | None, label: str | None = None
) -> list[LabelledPicture]:
    """Labelled items of a collection, evenly taken; the label is the category, or the attribute `label`."""
    catalogue = workspace.catalogue(workspace.collections.get(collection))

    def reader(item_id: str) -> Callable[[], bytes]:
        return lambda: workspace.images.get(image_key(collection, item_id)).data

    found = []
    for batch in catalogue.scan():
        for item in batch.items:
            name = item.category if label is None else item.attributes.get(label)
            if name is not None:
                split = str(item.attributes.get("split") or "") or None
                found.append(LabelledPicture(item.id, reader(item.id), str(name), split))
    if label is not None and not found:
        raise InvalidInput("no item has this attribute", got=label, fix="Name a column of the metadata.")
    return list(_spread(found, sample))


def encode(
    encoders: Encoders,
    ids: Sequence[str],
    pictures: Sequence[LabelledPicture],
    precision: Precision | None,
    console: Console,
) -> Encoded:
    """Vectors of all pictures that can be read, by each of `ids`; a picture is decoded once for all.

    Raises:
        EncoderNotFound: an id that is not there, before anything is encoded; or not in this precision.
        InvalidInput: no picture can be read.
    """
    from lookalike.evaluation import Candidate

    manifests = list({manifest.id: manifest for manifest in map(encoders.get, ids)}.values())
    loaded = [encoders.load(manifest.id, precision) for manifest in manifests]
    done = Encoded([])
    vectors: list[list[Vector]] = [[] for _ in loaded]
    seconds: list[list[float]] = [[] for _ in loaded]
    with console.progress("encoding", len(pictures)) as advance:
        for picture in pictures:
            advance(1)
            if not _take(picture, loaded, vectors, seconds, done):
                done.unreadable += 1
    if not done.pictures:
        raise InvalidInput("none of the pictures can be read", got=len(pictures), expected="some that can")
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
    picture: LabelledPicture,
    encoders: Sequence[Encoder],
    vectors: list[list[Vector]],
    seconds: list[list[float]],
    done: Encoded,
) -> bool:
    """Encode one picture by all; False if it cannot be read."""
    from lookalike.images import model_input, perceptual_hash

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
    done.pictures.append(picture)
    assert image is not None
    done.hashes.append(perceptual_hash(image))
    return True


def choose_split(
    pictures: Sequence[LabelledPicture],
    hashes: Sequence[bytes | None],
    manifests: Sequence[EncoderManifest],
    *,
    leave_one_out: bool = False,
    queries: int = QUERIES,
) -> QuerySplit:
    """The split that lets no encoder be asked about what it learned.

    The pictures that the training of every trained encoder held out; else what the metadata column `split`
    says; else leave one out, where near-duplicates (31 of 256 bits) do not find each other.
    """
    from lookalike.confidence import HELD_OUT_SPLITS
    from lookalike.evaluation import QuerySplit

    trained = [manifest.held_out for manifest in manifests if manifest.held_out]
    if not leave_one_out:
        if trained:
            common = frozenset.intersection(*trained)
            asks = np.array([picture.id in common for picture in pictures], bool)
            if asks.any() and not asks.all():
                words = "queries are those that the training of the encoder held out"
                return QuerySplit.held_out(asks, words)
        named = QuerySplit.by_name([picture.split for picture in pictures], HELD_OUT_SPLITS)
        if named is not None:
            return named
    return QuerySplit.leave_one_out(len(pictures), alike=_alike(hashes), queries=queries)


def thumbnails(pictures: Sequence[LabelledPicture]) -> Callable[[str], Pixels | None]:
    """Reads a picture by its id, for a report; a picture that several queries find is read once."""
    from functools import lru_cache

    known = {picture.id: picture for picture in pictures}

    @lru_cache(maxsize=256)
    def read(picture_id: str) -> Pixels | None:
        picture = known.get(picture_id)
        image = _decoded(picture, 256) if picture else None
        return image.pixels if image else None

    return read


def save(report: EvaluationReport, path: Path, pictures: Sequence[LabelledPicture], console: Console) -> None:
    """Write the HTML report."""
    from lookalike.evaluation.html import write_html

    console.note("drawing the report")
    console.note(f"report: {write_html(report, path, thumbnails(pictures))}")


def _alike(hashes: Sequence[bytes | None]) -> tuple[np.ndarray, np.ndarray]:
    """All pairs within groups of near-duplicates."""
    from lookalike.images.copies import close_pairs
    from lookalike.images.union import Union

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


def _decoded(picture: LabelledPicture, min_side: int) -> DecodedImage | None:
    from lookalike.images import ImageLimits, decode
    from lookalike.settings import Settings

    try:
        return decode(picture.read(), ImageLimits.from_settings(Settings()), min_side=min_side)
    except (ImageRejected, OSError):
        return None
    except LookalikeError:  # the object is gone, or the store does not answer for it
        return None


def _spread(entries: Sequence[T], count: int | None) -> Sequence[T]:
    return entries if count is None else entries[:: max(1, -(-len(entries) // count))]
