"""Limits on the size of images, and their errors."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.errors import ImageRejected, ImageTooLarge
from lookalike.images.header import Header
from lookalike.settings import Settings

FRAMES_PER_PICTURE = 3
"""Colour and transparency are coded separately, and tiles may extend beyond the image."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits on an image, checked in its header before decoding.

    Attributes:
        max_bytes: size of the file.
        max_pixels: width × height as stored. Decoding takes up to 20 bytes of memory per pixel (WebP and
            AVIF; JPEG and PNG far less), so this limit bounds memory.
        max_side: longer of width and height, in pixels.
    """

    max_bytes: int
    max_pixels: int
    max_side: int

    @classmethod
    def from_settings(cls, settings: Settings) -> ImageLimits:
        """The limits from `settings`."""
        return cls(settings.max_image_bytes, settings.max_image_pixels, settings.max_image_side)

    def check_bytes(self, count: int) -> None:
        """Raises ImageRejected (`empty`) or ImageTooLarge (`too_many_bytes`)."""
        if count == 0:
            raise ImageRejected("empty", "the file is empty", got="0 bytes", fix="Send an image.")
        if count > self.max_bytes:
            raise ImageTooLarge(
                "too_many_bytes",
                "the file is too large",
                got=f"{count:,} bytes",
                expected=f"at most {self.max_bytes:,}",
                fix="Reduce its size, or raise LOOKALIKE_MAX_IMAGE_BYTES.",
            )

    def check_header(self, header: Header) -> None:
        """Check an image before its decoder runs. Raises like `check_size`."""
        for width, height in header.frames or [(header.width, header.height)]:
            self.check_size(width, height)
        total = sum(width * height for width, height in header.frames)
        allowed = FRAMES_PER_PICTURE * self.max_pixels
        if total > allowed:
            raise ImageTooLarge(
                "too_many_pixels",
                "the frames of the image have too many pixels in total",
                got=f"{total:,}",
                expected=f"at most {allowed:,}",
                fix="Save it smaller with an image editor.",
            )

    def check_size(self, width: int, height: int) -> None:
        """Raises ImageTooLarge (`too_wide`, `too_many_pixels`), or ImageRejected without any pixels."""
        got = f"{width:,} × {height:,} pixels"
        if width <= 0 or height <= 0:
            raise ImageRejected("undecodable", "the image has no pixels", got=got)
        if max(width, height) > self.max_side:
            raise ImageTooLarge(
                "too_wide",
                "the image is too wide or too high",
                got=got,
                expected=f"at most {self.max_side:,} pixels per side",
                fix="Reduce its size, or raise LOOKALIKE_MAX_IMAGE_SIDE.",
            )
        if width * height > self.max_pixels:
            raise ImageTooLarge(
                "too_many_pixels",
                "the image has too many pixels",
                got=got,
                expected=f"at most {self.max_pixels:,} in total",
                fix="Reduce its size, or raise LOOKALIKE_MAX_IMAGE_PIXELS.",
            )
