"""How large an image may be, and the errors when it is larger."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.errors import ImageRejected, ImageTooLarge
from lookalike.images.header import Header
from lookalike.settings import Settings

FRAMES_PER_PICTURE = 3
"""Colour and transparency are coded apart, and tiles reach over the edge of the whole."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What an image may cost. Judged from its header, before anything is decoded.

    Attributes:
        max_bytes: length of the file.
        max_pixels: width × height as stored. Decoding costs up to 20 bytes of memory per pixel (WebP and
            AVIF; JPEG and PNG far less), so this is what bounds memory.
        max_side: longer of width and height, in pixels.
    """

    max_bytes: int
    max_pixels: int
    max_side: int

    @classmethod
    def from_settings(cls, settings: Settings) -> ImageLimits:
        """The limits that `settings` name."""
        return cls(settings.max_image_bytes, settings.max_image_pixels, settings.max_image_side)

    def check_bytes(self, count: int) -> None:
        """Raises ImageRejected (`empty`) or ImageTooLarge (`too_many_bytes`)."""
        if count == 0:
            raise ImageRejected("empty", "the file is empty", got="0 bytes", fix="Send the image itself.")
        if count > self.max_bytes:
            raise ImageTooLarge(
                "too_many_bytes",
                "the file is too large",
                got=f"{count:,} bytes",
                expected=f"at most {self.max_bytes:,}",
                fix="Save it smaller, or raise LOOKALIKE_MAX_IMAGE_BYTES.",
            )

    def check_header(self, header: Header) -> None:
        """Judge an image before its decoder runs. Raises as `check_size` does."""
        for width, height in header.frames or [(header.width, header.height)]:
            self.check_size(width, height)
        total = sum(width * height for width, height in header.frames)
        allowed = FRAMES_PER_PICTURE * self.max_pixels
        if total > allowed:
            raise ImageTooLarge(
                "too_many_pixels",
                "the frames of the image have too many pixels together",
                got=f"{total:,}",
                expected=f"at most {allowed:,}",
                fix="Save it again from an image editor, smaller.",
            )

    def check_size(self, width: int, height: int) -> None:
        """Raises ImageTooLarge (`too_wide`, `too_many_pixels`), or ImageRejected without any pixels."""
        got = f"{width:,} × {height:,} pixels"
        if width <= 0 or height <= 0:
            raise ImageRejected("undecodable", "the image has no pixels", got=got)
        if max(width, height) > self.max_side:
            raise ImageTooLarge(
                "too_wide",
                "a side of the image is too long",
                got=got,
                expected=f"at most {self.max_side:,} pixels a side",
                fix="Save it smaller, or raise LOOKALIKE_MAX_IMAGE_SIDE.",
            )
        if width * height > self.max_pixels:
            raise ImageTooLarge(
                "too_many_pixels",
                "the image has too many pixels",
                got=got,
                expected=f"at most {self.max_pixels:,} in all",
                fix="Save it smaller, or raise LOOKALIKE_MAX_IMAGE_PIXELS.",
            )
