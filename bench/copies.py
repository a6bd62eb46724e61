"""Edited copies of images, and images that are easily mistaken for copies, for `bench.duplicates`."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Iterator

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Edit = Callable[[Image.Image, random.Random], bytes]
Pair = tuple[bytes, bytes]


def saved(image: Image.Image, format_: str = "JPEG", **options: int) -> bytes:
    """A file; a JPEG has quality 92 unless it says otherwise."""
    target = io.BytesIO()
    options = {"quality": 92} | options if format_ == "JPEG" else options
    image.convert("RGB").save(target, format_, **options)
    return target.getvalue()


def _scaled(image: Image.Image, across: float, down: float | None = None) -> Image.Image:
    size = max(1, round(image.width * across)), max(1, round(image.height * (down or across)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _cropped(image: Image.Image, share: float, chance: random.Random | None = None) -> Image.Image:
    """Without `share` of width and height: around the centre, or at a random position."""
    left, top = (share / 2 if chance is None else chance.uniform(0, share) for _ in range(2))
    width, height = image.size
    box = left * width, top * height, (left + 1 - share) * width, (top + 1 - share) * height
    return image.crop(tuple(round(edge) for edge in box))  # type: ignore[arg-type]


def _written(image: Image.Image, text: str, at: tuple[float, float], size: float, **options: object) -> None:
    pen = ImageDraw.Draw(image)
    where = at[0] * image.width, at[1] * image.height
    font = ImageFont.load_default(size=size * image.height)
    pen.text(where, text, font=font, **options)  # type: ignore[arg-type]


def _label(image: Image.Image, chance: random.Random) -> bytes:
    image = image.copy()
    left, top = chance.choice([0.0, 0.6]), chance.choice([0.0, 0.9])
    width, height = image.size
    box = left * width, top * height, (left + 0.4) * width, (top + 0.1) * height
    ImageDraw.Draw(image).rectangle(box, fill="white")
    _written(image, "SALE 19.99", (left + 0.01, top), 0.07, fill="red")
    return saved(image)


def _caption(image: Image.Image, chance: random.Random) -> bytes:
    image = image.copy()
    ImageDraw.Draw(image).rectangle((0, 0.9 * image.height, image.width, image.height), fill="black")
    _written(image, "shop.example.com", (0.1, 0.9), 0.07, fill="white")
    return saved(image)


def _signed(image: Image.Image, chance: random.Random) -> bytes:
    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    white, grey = (255, 255, 255, 200), (60, 60, 60, 200)
    _written(layer, "© Someone", (0.5, 0.9), 0.07, fill=white, stroke_width=1, stroke_fill=grey)
    return saved(Image.alpha_composite(image.convert("RGBA"), layer))


def _watermark(opacity: int) -> Edit:
    def edit(image: Image.Image, chance: random.Random) -> bytes:
        layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
        fill = (255, 255, 255, opacity)
        _written(layer, "© EXAMPLE PHOTO", (0.08, 0.43), 0.1, fill=fill, stroke_width=1, stroke_fill=fill)
        return saved(Image.alpha_composite(image.convert("RGBA"), layer.rotate(25)))

    return edit


def _several(image: Image.Image, chance: random.Random) -> bytes:
    brighter = ImageEnhance.Brightness(_cropped(image, 0.04)).enhance(1.1)
    return saved(_scaled(brighter, 0.5), quality=60)


def _border(share: float, colour: str) -> Edit:
    return lambda image, _: saved(ImageOps.expand(image, round(share * max(image.size)), colour))


def _resized(factor: float) -> Edit:
    return lambda image, _: saved(_scaled(image, factor))


def _quality(quality: int) -> Edit:
    return lambda image, _: saved(image, quality=quality)


def _brightness(factor: float) -> Edit:
    return lambda image, _: saved(ImageEnhance.Brightness(image).enhance(factor))


def _contrast(factor: float) -> Edit:
    return lambda image, _: saved(ImageEnhance.Contrast(image).enhance(factor))


def _saturation(factor: float) -> Edit:
    return lambda image, _: saved(ImageEnhance.Color(image).enhance(factor))


def _crop(share: float, *, centred: bool) -> Edit:
    return lambda image, chance: saved(_cropped(image, share, None if centred else chance))


SAME: dict[str, Edit] = {
    "half the size": _resized(0.5),
    "a quarter of the size": _resized(0.25),
    "1.5 times the size": _resized(1.5),
    "5 % narrower": lambda image, _: saved(_scaled(image, 0.95, 1.0)),
    "JPEG, quality 80": _quality(80),
    "JPEG, quality 50": _quality(50),
    "JPEG, quality 25": _quality(25),
    "JPEG, quality 10": _quality(10),
    "PNG": lambda image, _: saved(image, "PNG"),
    "WebP, quality 75": lambda image, _: saved(image, "WEBP", quality=75),
    "cropped by 2 %": _crop(0.02, centred=False),
    "cropped by 5 %": _crop(0.05, centred=False),
    "cropped by 10 %": _crop(0.10, centred=False),
    "cropped by 10 % on each side": _crop(0.20, centred=True),
    "white border of 5 %": _border(0.05, "white"),
    "white border of 10 %": _border(0.10, "white"),
    "black border of 5 %": _border(0.05, "black"),
    "grey border of 15 %": _border(0.15, "#dddddd"),
    "10 % brighter": _brightness(1.1),
    "25 % brighter": _brightness(1.25),
    "50 % brighter": _brightness(1.5),
    "20 % darker": _brightness(0.8),
    "40 % darker": _brightness(0.6),
    "20 % less contrast": _contrast(0.8),
    "30 % more contrast": _contrast(1.3),
    "label in a corner": _label,
    "caption": _caption,
    "signature": _signed,
    "faint watermark": _watermark(90),
    "strong watermark": _watermark(160),
    "cropped, brighter, half the size, quality 60": _several,
}
"""Copies that are the same picture."""

OTHER: dict[str, Edit] = {
    "mirrored": lambda image, _: saved(ImageOps.mirror(image)),
    "black and white": lambda image, _: saved(image.convert("L")),
    "red and blue exchanged": lambda image, _: saved(Image.merge("RGB", image.convert("RGB").split()[::-1])),
    "other content in the middle": lambda image, _: _filled(image),
}
"""Edits after which an image is a different picture, or a variant."""


EITHER: dict[str, Edit] = {
    "30 % less colour": _saturation(0.7),
    "40 % more colour": _saturation(1.4),
}
"""Edits after which an image is the same picture or a variant, depending on how colourful it is. Either is
right, so they are not counted."""


def _filled(image: Image.Image) -> bytes:
    image = image.copy()
    width, height = image.size
    part = image.crop((0, 0, width // 3, height // 3)).transpose(Image.Transpose.ROTATE_180)
    image.paste(part, (width // 3, height // 3))
    return saved(image)


def drawings() -> dict[str, list[bytes]]:
    """Images of one kind that are easily mistaken for copies of each other."""
    return {
        "cups in other colours": list(_cups()),
        "pages of text": list(_pages()),
        "clock faces": list(_clocks()),
        "logos": list(_logos()),
    }


def _cups() -> Iterator[bytes]:
    for colour in ("#c02020", "#2040c0", "#208040", "#202020", "#e0a020", "#f0f0f0", "#a02020", "#705030"):
        image = Image.new("RGB", (500, 500), "white")
        pen = ImageDraw.Draw(image)
        pen.rounded_rectangle((190, 180, 310, 320), 20, fill=colour)
        pen.arc((290, 210, 350, 290), 270, 90, fill=colour, width=14)
        yield saved(image.filter(ImageFilter.GaussianBlur(1)))


def _pages() -> Iterator[bytes]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    for seed in range(10):
        chance = random.Random(seed)
        image = Image.new("L", (600, 800), 255)
        pen = ImageDraw.Draw(image)
        for line in range(60, 760, 22):
            words = ("".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(13))
            pen.text((50, line), " ".join(words), fill=0)
        yield saved(image, "PNG")


def _clocks() -> Iterator[bytes]:
    for hour in range(12):
        image = Image.new("RGB", (400, 400), "white")
        pen = ImageDraw.Draw(image)
        pen.ellipse((30, 30, 370, 370), fill="#eeeeee", outline="#333333", width=12)
        for mark in range(12):
            pen.line((*_on_circle(mark, 140), *_on_circle(mark, 155)), fill="black", width=5)
        for turn, length, width in ((float(hour), 90, 9), (hour % 4 * 3.0, 130, 6)):
            pen.line((200, 200, *_on_circle(turn, length)), fill="black", width=width)
        yield saved(image)


def _on_circle(turn: float, radius: float) -> tuple[float, float]:
    angle = turn * math.pi / 6
    return 200 + radius * math.sin(angle), 200 - radius * math.cos(angle)


def _logos() -> Iterator[bytes]:
    for name in ("ACME", "ACNE", "BOLT", "BELT", "NOVA", "NORA"):
        image = Image.new("RGB", (400, 400), "white")
        ImageDraw.Draw(image).ellipse((60, 60, 340, 340), fill="#0050a0")
        _written(image, name, (0.27, 0.40), 0.16, fill="white")
        yield saved(image)
