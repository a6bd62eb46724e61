"""Convert images in any of Pillow's modes to sRGB over white."""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lookalike.images.header import MAX_PROFILE_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsTransform

STRIP_PIXELS = 1_000_000
"""Conversions run in strips, so that they need little memory in addition to the decoded image."""

_PLAIN = frozenset({"L", "RGB", "CMYK"})
_GREY = frozenset({"1", "L", "LA", "La"})
_PROFILE_SPACES = {"L": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}


def flatten(image: Image, factor: int, frame: tuple[int, int, int, int] | None = None) -> Image:
    """The image over white, reduced by the whole `factor`, in mode L, RGB or CMYK.

    Reducing averages cells of factor × factor pixels, after transparency is removed: the colours of
    transparent pixels must not show. `frame` is the part that the file paints; the rest becomes white.
    """
    from PIL.Image import new

    if _is_deep(image):
        image = _grey_from_deep(image)
    if image.mode in _PLAIN and not image.has_transparency_data and frame is None:
        return image.reduce(factor) if factor > 1 else image
    width, height = image.size
    rows = factor * max(1, STRIP_PIXELS // (width * factor))
    reduced = None
    for top in range(0, height, rows):
        strip = _over_white(image.crop((0, top, width, min(height, top + rows))))
        if frame is not None:
            strip = _within(strip, (frame[0], frame[1] - top, frame[2], frame[3] - top))
        if factor > 1:
            strip = strip.reduce(factor)
        if reduced is None:
            reduced = new(strip.mode, (strip.width, -(-height // factor)))
        reduced.paste(strip, (0, top // factor))
    assert reduced is not None
    return reduced


def _over_white(image: Image) -> Image:
    from PIL.Image import new

    mode = "L" if image.mode in _GREY else "CMYK" if image.mode == "CMYK" else "RGB"
    if not image.has_transparency_data:
        return image.convert(mode)
    see_through = image.convert(mode + "A")
    white = new(mode, image.size, "white")
    white.paste(see_through.convert(mode), mask=see_through.getchannel("A"))
    return white


def _within(image: Image, frame: tuple[int, int, int, int]) -> Image:
    from PIL.Image import new

    left, top, right, bottom = frame
    white = new("RGB", image.size, "white")
    box = (left, max(0, top), right, min(image.height, bottom))
    if box[1] < box[3]:
        white.paste(image.crop(box).convert("RGB"), box)
    return white


def _is_deep(image: Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _grey_from_deep(image: Image) -> Image:
    """More than 8 bits of grey → mode L or LA.

    16 bits have the range 0 … 65535. 32 bits and floats have no standard range: use the smallest of 0 … 1
    (floats), 0 … 255 and 0 … 65535 that contains all finite values, or else the range of the values.
    """
    from PIL.Image import fromarray

    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        grey = fromarray((values >> 8).astype(np.uint8))
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            grey.putalpha(fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
        return grey
    low, high = _range(values)
    stretched = np.empty(values.shape, np.uint8)
    for row, target in zip(values, stretched, strict=True):  # row by row: no second copy in floats
        part = np.nan_to_num((row.astype(np.float64) - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
        target[:] = np.rint(255 * part.clip(0.0, 1.0))
    return fromarray(stretched)


def _range(values: NDArray[np.generic]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    customary = (1.0, 255.0, 65_535.0) if np.issubdtype(values.dtype, np.floating) else (255.0, 65_535.0)
    for top in customary:
        if low >= 0.0 and high <= top:
            return 0.0, top
    return (low, high) if high > low else (low, low + 1.0)


def to_srgb(image: Image, profile: bytes | None) -> Image:
    """Mode L, RGB or CMYK → RGB in sRGB, through the ICC `profile` if it is valid.

    Without a profile, RGB and grey values count as sRGB, and CMYK is inverted.
    """
    if profile and not _is_srgb(profile):
        transform = _transform(profile, image.mode)
        if transform is not None:
            from PIL import ImageCms

            return ImageCms.applyTransform(image, transform) or image.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCmsTransform | None:
    """The conversion from `profile` to sRGB; None if the profile is damaged or for another colour space.

    Cached, because a camera's images share their profile, and large ones take 30 ms to prepare. Transforms
    are thread-safe (Little CMS, "cmsDoTransform").
    """
    if len(profile) > MAX_PROFILE_BYTES or profile[16:20] != _PROFILE_SPACES[mode]:
        return None
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _is_srgb(profile: bytes) -> bool:
    """Whether the description tag of a profile says sRGB (ICC.1:2022, 9.2.41).

    Saves colour management for most images with a profile.
    """
    if profile[16:20] != b"RGB ":
        return False
    try:
        (count,) = struct.unpack_from(">L", profile, 128)
        for tag, start, size in struct.iter_unpack(">4sLL", profile[132 : 132 + 12 * min(count, 100)]):
            if tag == b"desc":
                text = profile[start + 8 : start + min(size, 400)].replace(b"\0", b"")
                return b"sRGB" in text
    except struct.error:
        return False
    return False
