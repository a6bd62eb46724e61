"""A decoded image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import InvalidInput
from lookalike.images.header import Box
from lookalike.types import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An upright sRGB image over white, possibly at reduced scale.

    Attributes:
        image: the pixels as a Pillow image in mode RGB. Do not change it.
        width: pixels per row of the original, upright.
        height: rows of the original, upright.
        format: Pillow's name of the file format: JPEG, PNG, …
        content: the part of `image` that the original covers; at reduced scale it may cover the last row and
            column partially.
    """

    image: Image
    width: int
    height: int
    format: str
    content: Box

    @classmethod
    def from_pixels(cls, pixels: Pixels) -> DecodedImage:
        """An image from pixels. Raises InvalidInput unless they are (height, width, 3) uint8."""
        from PIL import Image

        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
            raise InvalidInput(
                "invalid pixels",
                got=f"{pixels.dtype} {pixels.shape}",
                expected="uint8 (height, width, 3), sRGB",
            )
        height, width, _ = pixels.shape
        return cls(Image.fromarray(pixels), width, height, "", (0.0, 0.0, float(width), float(height)))

    @property
    def pixels(self) -> Pixels:
        """A copy of the pixels: (height, width, 3) uint8, sRGB; read-only. Reduced if `image` is."""
        return np.asarray(self.image)
