"""Decode untrusted bytes to an upright sRGB image."""

from __future__ import annotations

import importlib
import io
from typing import TYPE_CHECKING

from lookalike.errors import ImageRejected, ImageTooLarge
from lookalike.images import colour
from lookalike.images.decoded import DecodedImage
from lookalike.images.header import Box, Header, damaged
from lookalike.images.ifd import exif_orientation
from lookalike.images.size_limits import ImageLimits
from lookalike.images.sniff import read_header

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

# Open the plugin of a format directly: `Image.open` would import others, try them in turn, and only warn
# about the size. We check the size before, in the header.
_PLUGINS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
}
_JPEG_SCALES = (8, 4, 2)


def decode(data: bytes, limits: ImageLimits, *, min_side: int | None = None) -> DecodedImage:
    """Decode an image: first frame or page, upright, over white, in sRGB.

    A truncated file, or one with wrong checksums, is rejected and not repaired: half an image would match
    the wrong items. (In formats without checksums, such as JPEG, a flipped bit may go unnoticed.) A damaged
    colour profile or EXIF block is ignored.

    Args:
        data: the whole file.
        limits: checked in the header, before decoding.
        min_side: allows reducing the image by a whole factor while its shorter side keeps this many pixels.
            JPEG is then decoded at reduced scale, which saves time and memory.

    Raises:
        ImageRejected: with a `reason`; among them
            ImageTooLarge: over one of `limits`.
            UnsupportedFormat: not a supported format.
    """
    limits.check_bytes(len(data))
    kind = "image"
    try:
        header = read_header(data)
        kind = header.format
        limits.check_header(header)
        return _decode(header, limits, min_side)
    except ImageRejected:
        raise
    except Exception as error:  # decoders raise nearly anything on hostile bytes, even MemoryError
        if type(error).__name__ == "DecompressionBombError":  # Pillow's own limit, if ours is higher
            raise ImageTooLarge("too_many_pixels", "the image has too many pixels for Pillow") from error
        raise damaged(kind, error or type(error).__name__) from error


def _decode(header: Header, limits: ImageLimits, min_side: int | None) -> DecodedImage:
    module, name = _PLUGINS[header.format]
    file: ImageFile = getattr(importlib.import_module(module), name)(io.BytesIO(header.stream))
    limits.check_size(*file.size)
    width, height = file.size
    factor = max(1, min(width, height) // min_side) if min_side else 1
    drafted = _draft(file, factor) if header.format == "JPEG" else 1
    file.load()
    rest = max(1, min(file.size) // min_side) if min_side else 1
    image = colour.to_srgb(
        colour.flatten(file, rest, header.frame), header.profile or file.info.get("icc_profile")
    )
    factor = drafted * rest
    # Pillow reports libavif's rotation as an EXIF block; other decoders get no EXIF.
    orientation = exif_orientation(file.info.get("exif")) if header.format == "AVIF" else header.orientation
    image, content = _upright(image, (0.0, 0.0, width / factor, height / factor), orientation)
    if orientation >= 5:
        width, height = height, width
    return DecodedImage(image, width, height, header.format, content)


def _draft(file: ImageFile, factor: int) -> int:
    """Set libjpeg's scale to the smallest of 1/8, 1/4 and 1/2 that `factor` allows. Returns its inverse."""
    for scale in _JPEG_SCALES:
        if factor >= scale:
            file.draft(None, (file.size[0] // scale, file.size[1] // scale))
            return scale
    return 1


def _upright(image: Image, content: Box, orientation: int) -> tuple[Image, Box]:
    """Undo an EXIF orientation of the pixels and of the content box."""
    if orientation == 1:
        return image, content
    from PIL.Image import Transpose

    width, height = image.size
    left, top, right, bottom = content
    mirrored: Box = (width - right, top, width - left, bottom)
    flipped: Box = (left, height - bottom, right, height - top)
    turned: Box = (width - right, height - bottom, width - left, height - top)
    method, box = {
        2: (Transpose.FLIP_LEFT_RIGHT, mirrored),
        3: (Transpose.ROTATE_180, turned),
        4: (Transpose.FLIP_TOP_BOTTOM, flipped),
        5: (Transpose.TRANSPOSE, _transposed(content)),
        6: (Transpose.ROTATE_270, _transposed(flipped)),
        7: (Transpose.TRANSVERSE, _transposed(turned)),
        8: (Transpose.ROTATE_90, _transposed(mirrored)),
    }[orientation]
    return image.transpose(method), box


def _transposed(box: Box) -> Box:
    left, top, right, bottom = box
    return top, left, bottom, right
