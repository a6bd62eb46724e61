"""Images as the comparison of duplicates needs them: small, with a few facts about the file."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.errors import ImageRejected, NotFound
from lookalike.images import ImageLimits, decode
from lookalike.images.decoded import DecodedImage
from lookalike.layout import image_key
from lookalike.settings import Settings
from lookalike.storage import Store

Luma = NDArray[np.float32]
"""shape (height, width), 0 to 255."""
Edges = tuple[float, float, float, float]
"""left, top, right, bottom, in fractions of width and height."""

DETAIL_SIDE = 256
"""Longer side of a sample, in pixels. It shows the words on a page and the hands of a clock."""
SIDES = (24, 48, 96)
"""Longer side of the images that are aligned, coarse to fine."""
MIN_LEVEL_SIDE = 4
GLANCE_SIDE = 16
GLANCE_SHARES = (1.0, 0.9, 0.8)
MIN_GLANCE = 2.0 * GLANCE_SIDE
"""Below a standard deviation of 2 levels there is nothing to see."""
KEPT = 400
"""Samples in memory, of about 250 KB each."""
BORDER_CONTRAST = 24
PLAIN_SHARE = 0.97
CAMERA_TAGS = (271, 272)
"""EXIF: make and model of the camera."""
JPEG_TABLE = 64


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file says about its history.

    Attributes:
        camera: whether it names the camera that took the photo.
        quantisation: mean step of a JPEG's luma quantisation table, 1 to 255; 0: not a JPEG.
    """

    camera: bool = False
    quantisation: float = 0.0


class Sample:
    """One image, reduced.

    Attributes:
        image: RGB, at most `DETAIL_SIDE` pixels on its longer side.
        levels: luma at each of `SIDES`.
        content: the box inside a border of one colour.
        glances: float32, shape (n, `GLANCE_SIDE`²): the whole image, crops of it, and the content, each
            reduced to a square, of mean 0 and length 1; length 0 where there is nothing to see.
        clipped: share of pixels with a channel at 0 or 255.
        facts: about its file.
    """

    def __init__(self, decoded: DecodedImage, facts: FileFacts = FileFacts()) -> None:
        left, top, right, bottom = decoded.content
        scale = min(1.0, DETAIL_SIDE / max(right - left, bottom - top))
        size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
        self.image = decoded.image.resize(size, Image.Resampling.BOX, box=decoded.content)
        self.width, self.height = decoded.width, decoded.height
        luma = self.image.convert("L")
        self.levels = levels_of(luma)
        self.content = _content(np.asarray(luma, np.float32))
        self.glances = _glances(luma, self.content)
        self.facts = facts
        pixels = np.asarray(self.image)
        self.clipped = float((pixels == 255).any(axis=-1).mean() + (pixels == 0).any(axis=-1).mean())

    def is_plain_outside(self, edges: Edges) -> bool:
        """Whether nearly everything outside a box is of one colour."""
        luma = np.asarray(self.image.convert("L"), np.float32)
        height, width = luma.shape
        inside = np.zeros(luma.shape, bool)
        left, right = int(edges[0] * width), int(np.ceil(edges[2] * width))
        inside[int(edges[1] * height) : int(np.ceil(edges[3] * height)), left:right] = True
        outside = luma[~inside]
        if not outside.size:
            return False
        return bool((np.abs(outside - np.median(outside)) < BORDER_CONTRAST).mean() > PLAIN_SHARE)

    def mirrored(self) -> Sample:
        """The same image, left and right exchanged."""
        other = copy(self)
        left, top, right, bottom = self.content
        other.image = self.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        other.levels = [level[:, ::-1] for level in self.levels]
        other.content = 1 - right, top, 1 - left, bottom
        squares = self.glances.reshape(-1, GLANCE_SIDE, GLANCE_SIDE)
        other.glances = squares[..., ::-1].reshape(self.glances.shape)
        return other


class SampleReader:
    """Reads the images of one collection, and keeps the most recent samples. Safe to share between threads.

    Args:
        images: the images root.
        limits: on size and pixels of an image.
        collection: its name.
    """

    def __init__(self, images: Store, limits: ImageLimits, collection: str) -> None:
        self._images = images
        self._limits = limits
        self._collection = collection
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Sample | None] = OrderedDict()

    @classmethod
    def of(cls, images: Store, settings: Settings, collection: str) -> SampleReader:
        """The reader of a collection, with the limits of `settings`."""
        return cls(images, ImageLimits.from_settings(settings), collection)

    def get(self, item_id: str) -> Sample | None:
        """The sample of an item; None: its image is gone or cannot be decoded."""
        with self._lock:
            if item_id in self._kept:
                self._kept.move_to_end(item_id)
                return self._kept[item_id]
        sample = self._read(item_id)
        with self._lock:
            self._kept[item_id] = sample
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return sample

    def _read(self, item_id: str) -> Sample | None:
        try:
            blob = self._images.get_limited(image_key(self._collection, item_id), self._limits.max_bytes)
            if blob is None:
                return None
            return sample_of(blob.data, self._limits)
        except (NotFound, ImageRejected):
            return None


def sample_of(data: bytes, limits: ImageLimits) -> Sample:
    """The sample of an image file. Raises ImageRejected."""
    decoded = decode(data, limits, min_side=DETAIL_SIDE)
    return Sample(decoded, _facts(data, decoded.format))


def _facts(data: bytes, format_: str) -> FileFacts:
    if format_ != "JPEG":
        return FileFacts()
    try:
        from PIL.JpegImagePlugin import JpegImageFile

        file = JpegImageFile(io.BytesIO(data))
        exif = file.getexif()
        table = file.quantization.get(0, [])
    except Exception:  # Pillow raises nearly anything on hostile bytes; the pixels were read, that is enough
        return FileFacts()
    camera = any(str(exif.get(tag, "")).strip() for tag in CAMERA_TAGS)
    return FileFacts(camera, sum(table) / JPEG_TABLE if len(table) == JPEG_TABLE else 0.0)


def levels_of(luma: Image.Image) -> list[Luma]:
    """A luma image at each of `SIDES`."""
    return [_level(luma, side) for side in SIDES]


def _level(luma: Image.Image, side: int) -> Luma:
    factor = side / max(luma.size)
    size = tuple(max(MIN_LEVEL_SIDE, round(length * factor)) for length in luma.size)
    return np.asarray(luma.resize(size, Image.Resampling.BILINEAR), np.float32)  # type: ignore[arg-type]


def _glances(luma: Image.Image, content: Edges) -> NDArray[np.float32]:
    width, height = luma.size
    boxes = [((1 - share) / 2, (1 - share) / 2, (1 + share) / 2, (1 + share) / 2) for share in GLANCE_SHARES]
    squares = [
        luma.resize(
            (GLANCE_SIDE, GLANCE_SIDE),
            Image.Resampling.BOX,
            box=(left * width, top * height, right * width, bottom * height),
        )
        for left, top, right, bottom in (*boxes, content)
    ]
    glances = np.stack([np.asarray(square, np.float32).ravel() for square in squares])
    glances -= glances.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(glances, axis=1, keepdims=True)
    found: NDArray[np.float32] = np.where(lengths > MIN_GLANCE, glances / np.maximum(lengths, 1), 0)
    return found


def _content(luma: Luma) -> Edges:
    """The box of what differs from the border's colour."""
    border = np.concatenate([luma[0], luma[-1], luma[:, 0], luma[:, -1]])
    differs = np.abs(luma - np.median(border)) > BORDER_CONTRAST
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not len(rows):
        return 0.0, 0.0, 1.0, 1.0
    height, width = luma.shape
    return (
        float(columns[0]) / width,
        float(rows[0]) / height,
        float(columns[-1] + 1) / width,
        float(rows[-1] + 1) / height,
    )
