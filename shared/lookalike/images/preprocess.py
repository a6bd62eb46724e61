"""Image → model input; shared by training, indexing and querying."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

import numpy as np

from lookalike.errors import Incompatible, InvalidInput
from lookalike.images.decode import decode
from lookalike.images.decoded import DecodedImage
from lookalike.images.header import Box
from lookalike.images.size_limits import ImageLimits
from lookalike.types import Pixels

Fit = Literal["crop", "squash", "pad"]
Interpolation = Literal["box", "bilinear", "hamming", "bicubic", "lanczos"]
FITS: tuple[Fit, ...] = get_args(Fit)
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)

VERSION = 1
"""Increase it with any change here or in `decode` that changes an encoder's input."""

HEADROOM = 1.25
"""A reduced image stays this many times larger than needed. Compared with full-size decoding (bicubic), on
photos whose half scale just suffices, 1.0 changes pixels by 1.6 of 255 on average, 1.25 by 1.4, 1.4 by 1.2,
2.0 by 0.7; the default encoder's int8 vectors have cosines of 0.992, 0.993, 0.9945 and 0.996 to full size.
1.25 is the highest value at which a 640-px query is decoded at half scale: a fifth less time per query."""

REDUCING_GAP = 3.0
"""Pillow averages whole cells before it interpolates, down to this many times the output."""


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How an image becomes an encoder's input. Stored in the encoder's manifest.

    Attributes:
        size: side of the square model input, in pixels.
        crop_fraction: share of each side that is kept, around the centre.
        fit: `crop` keeps a square of the shorter side; `squash` ignores the proportions;
            `pad` puts the whole image on a white square.
        interpolation: Pillow's filter, antialiased.
        version: of the method; vectors of different versions are not comparable.
    """

    size: int = 224
    crop_fraction: float = 0.875
    fit: Fit = "crop"
    interpolation: Interpolation = "bicubic"
    version: int = VERSION

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 4096:
            raise InvalidInput(
                "the encoder's input size is out of range", got=self.size, expected="1 to 4096"
            )
        if not 0.0 < self.crop_fraction <= 1.0:
            raise InvalidInput(
                "crop_fraction is out of range", got=self.crop_fraction, expected="more than 0, at most 1"
            )
        if self.fit not in FITS:
            raise InvalidInput("unknown fit", got=self.fit, expected=", ".join(FITS))
        if self.interpolation not in INTERPOLATIONS:
            raise InvalidInput(
                "unknown interpolation", got=self.interpolation, expected=", ".join(INTERPOLATIONS)
            )

    @property
    def min_side(self) -> int:
        """The shorter side, in pixels, that a reduced image must keep: `min_side` of `decode`."""
        return math.ceil(HEADROOM * self.size / self.crop_fraction)

    def to_json(self) -> dict[str, object]:
        """The values by name, for a manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Preprocess:
        """Inverse of `to_json`. Raises Incompatible for an unknown version or option."""
        known = {field.name for field in fields(cls)}
        if values.get("version") != VERSION or not set(values) <= known:
            raise Incompatible(
                "the encoder's preprocessing needs another version of lookalike",
                got=dict(values),
                expected=f"version {VERSION} with {', '.join(sorted(known))}",
                fix="Build the encoder again with this version.",
            )
        try:
            return cls(**values)  # type: ignore[arg-type]  # checked in __post_init__
        except (InvalidInput, TypeError) as error:
            raise Incompatible(f"the encoder's preprocessing is invalid: {error}") from error


def read_image(data: bytes, limits: ImageLimits, preprocess: Preprocess) -> tuple[DecodedImage, Pixels]:
    """Decode at the scale that `preprocess` needs, and make the model input. Raises like `decode`."""
    image = decode(data, limits, min_side=preprocess.min_side)
    return image, model_input(image, preprocess)


def model_input(image: DecodedImage, preprocess: Preprocess) -> Pixels:
    """The encoder's input: (size, size, 3) uint8, sRGB.

    Deterministic in any thread or process. An image decoded at reduced scale
    differs from the full-size one by at most 2.5 of 255 on average, and by less than 1 on most photos.
    """
    box = _region(image, preprocess)
    if preprocess.fit == "pad":
        return _padded(image, box, preprocess)
    return resample(image, box, (preprocess.size, preprocess.size), preprocess.interpolation)


def resample(
    image: DecodedImage, box: Box, size: tuple[int, int], interpolation: Interpolation = "bicubic"
) -> Pixels:
    """The part `box` of an image, in pixels of the original, resized to `size` = (width, height).

    Returns (height, width, 3) uint8. `model_input` and the views of training use it.
    """
    from PIL.Image import Resampling

    left, top, right, bottom = image.content
    across, down = (right - left) / image.width, (bottom - top) / image.height
    # Rounding may put an edge 1e-14 outside, which Pillow rejects.
    cut = (
        max(left + box[0] * across, 0.0),
        max(top + box[1] * down, 0.0),
        min(left + box[2] * across, image.image.width),
        min(top + box[3] * down, image.image.height),
    )
    resized = image.image.resize(size, Resampling[interpolation.upper()], box=cut, reducing_gap=REDUCING_GAP)
    return np.asarray(resized)


def _region(image: DecodedImage, preprocess: Preprocess) -> tuple[int, int, int, int]:
    """The part that is kept, in whole pixels of the original, so that a 256-px image is not resampled."""
    width, height = image.width, image.height
    if preprocess.fit == "crop":
        width = height = min(width, height)
    width = max(1, round(preprocess.crop_fraction * width))
    height = max(1, round(preprocess.crop_fraction * height))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return left, top, left + width, top + height


def _padded(image: DecodedImage, box: tuple[int, int, int, int], preprocess: Preprocess) -> Pixels:
    size = preprocess.size
    longer = max(box[2] - box[0], box[3] - box[1])
    width = max(1, round(size * (box[2] - box[0]) / longer))
    height = max(1, round(size * (box[3] - box[1]) / longer))
    left, top = (size - width) // 2, (size - height) // 2
    padded = np.full((size, size, 3), 255, np.uint8)
    padded[top : top + height, left : left + width] = resample(
        image, box, (width, height), preprocess.interpolation
    )
    return padded
