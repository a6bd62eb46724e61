"""Find the image format from the first bytes."""

from __future__ import annotations

from collections.abc import Callable

from lookalike.errors import UnsupportedFormat
from lookalike.images.formats import avif, bmp, gif, jpeg, png, tiff, webp
from lookalike.images.header import Header

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

_READERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Header]], ...] = (
    (jpeg.accepts, jpeg.read),
    (png.accepts, png.read),
    (webp.accepts, webp.read),
    (gif.accepts, gif.read),
    (bmp.accepts, bmp.read),
    (tiff.accepts, tiff.read),
    (avif.accepts, avif.read),
)

# Files that people often send by mistake, so that the error can name them.
_OTHERS = (
    (b"PK\x03\x04", "a ZIP archive (or an Office document)"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "a Windows icon"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"%!PS", "a PostScript document"),
)


def read_header(data: bytes) -> Header:
    """The header of the image in `data`, from its content, never from a file name.

    Raises UnsupportedFormat if no reader knows the first bytes, and ImageRejected if the header is damaged.
    """
    for accepts, read in _READERS:
        if accepts(data):
            return read(data)
    raise UnsupportedFormat(
        "unsupported_format",
        "not a supported image",
        got=_name(data),
        fix="Use JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF.",
    )


def _name(data: bytes) -> str:
    for prefix, name in _OTHERS:
        if data.startswith(prefix):
            return name
    if data[4:8] == b"ftyp":
        return "a HEIC image" if data[8:11] in (b"hei", b"hev", b"mif") else "a video"
    start = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in start:
        return "an SVG drawing"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if start.startswith(b"<?xml"):
        return "an XML document"
    return "an unknown format"
