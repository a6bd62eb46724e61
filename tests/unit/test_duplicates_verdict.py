"""Whether two images are the same picture, a variant or only similar, by their pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from fixtures.pictures import draw_scene
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from lookalike.duplicates.alignment import align
from lookalike.duplicates.original import Traces, choose
from lookalike.duplicates.samples import Sample, sample_of
from lookalike.duplicates.verdict import Verdict, judge
from lookalike.images import ImageLimits
from lookalike.settings import Settings
from lookalike.types import Item

LIMITS = ImageLimits.from_settings(Settings())


def sample(image: Image.Image, quality: int = 92) -> Sample:
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=quality)
    return sample_of(file.getvalue(), LIMITS)


def scene(seed: int = 8, side: int = 320) -> Image.Image:
    """A busy picture with soft texture, as a photo has."""
    rough = Image.fromarray(draw_scene(seed, side))
    chance = np.random.default_rng(seed)
    texture = Image.fromarray(chance.integers(0, 255, (side, side, 3), dtype=np.uint8))
    return Image.blend(rough, texture.filter(ImageFilter.GaussianBlur(1.2)), 0.4)


def cropped(image: Image.Image, share: float) -> Image.Image:
    side = image.width
    return image.crop((round(share * side), round(share * side / 2), side, round(side * (1 - share / 2))))


def labelled(image: Image.Image) -> Image.Image:
    image = image.copy()
    side = image.width
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0.9 * side, 0.5 * side, side), fill="white")
    pen.text(
        (0.02 * side, 0.9 * side), "SALE 19.99", fill="red", font=ImageFont.load_default(size=0.07 * side)
    )
    return image


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half": lambda image: image.resize((160, 160), Image.Resampling.LANCZOS),
    "larger": lambda image: image.resize((480, 480), Image.Resampling.BICUBIC),
    "cropped by 2 %": lambda image: cropped(image, 0.02),
    "cropped by 10 %": lambda image: cropped(image, 0.1),
    "border": lambda image: ImageOps.expand(image, 24, "white"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
    "label": labelled,
}


@pytest.mark.parametrize("change", list(COPIES))
def test_an_edited_copy_is_the_same_picture(change: str) -> None:
    for seed in (8, 12):
        verdict = judge(sample(scene(seed)), sample(COPIES[change](scene(seed))))
        assert verdict.relation == "same", verdict


@pytest.mark.parametrize("quality", [25, 50, 80])
def test_a_recompressed_copy_is_the_same_picture(quality: int) -> None:
    verdict = judge(sample(scene()), sample(scene(), quality))
    assert verdict.relation == "same"
    assert verdict.reasons[0].startswith("same structure (")
    assert verdict.reasons[1:] == ("same colours",)


def test_the_order_of_the_two_does_not_matter() -> None:
    for change in COPIES.values():
        assert judge(sample(change(scene())), sample(scene())).relation == "same"


def cup(colour: str) -> Image.Image:
    image = Image.new("RGB", (500, 500), "white")
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((190, 180, 310, 320), 20, fill=colour)
    pen.arc((290, 210, 350, 290), 270, 90, fill=colour, width=14)
    return image.filter(ImageFilter.GaussianBlur(1))


def text_page(seed: int) -> Image.Image:
    chance = np.random.default_rng(seed)
    image = Image.new("L", (600, 800), 255)
    pen = ImageDraw.Draw(image)
    for line in range(60, 760, 22):
        letters = "".join(chr(97 + code) for code in chance.integers(0, 26, 90))
        spaced = "".join(" " if chance.random() < 0.17 else letter for letter in letters)
        pen.text((50, line), spaced, fill=0)
    return image


def clock(hour: int) -> Image.Image:
    image = Image.new("RGB", (400, 400), "white")
    pen = ImageDraw.Draw(image)
    pen.ellipse((30, 30, 370, 370), fill="#eee", outline="#333", width=12)
    for turn, length, width in ((hour, 90, 9), (3 * (hour % 4), 130, 6)):
        angle = turn * np.pi / 6
        end = 200 + length * np.sin(angle), 200 - length * np.cos(angle)
        pen.line((200, 200, *end), fill="black", width=width)
    return image


def logo(name: str) -> Image.Image:
    image = Image.new("RGB", (400, 400), "white")
    pen = ImageDraw.Draw(image)
    pen.ellipse((60, 60, 340, 340), fill="#0050a0")
    pen.text((110, 160), name, fill="white", font=ImageFont.load_default(size=64))
    return image


DIFFERENT = {
    "cups": [cup(colour) for colour in ("#c02020", "#2040c0", "#208040", "#202020", "#a02020")],
    "pages": [text_page(seed) for seed in range(4)],
    "clocks": [clock(hour) for hour in (1, 2, 3, 9)],
    "logos": [logo(name) for name in ("ACME", "BOLT", "NOVA")],
    "scenes": [scene(seed) for seed in (8, 12, 13)],
}


@pytest.mark.parametrize("kind", list(DIFFERENT))
def test_different_pictures_of_one_kind_are_not_the_same(kind: str) -> None:
    samples = [sample(image) for image in DIFFERENT[kind]]
    for one, other in combinations(samples, 2):
        for pair in ((one, other), (other, one)):
            assert judge(*pair).relation != "same"


def test_another_colour_is_a_variant_and_the_reason_says_so() -> None:
    red, blue = sample(cup("#c02020")), sample(cup("#2040c0"))
    for pair in ((red, blue), (blue, red)):
        verdict = judge(*pair)
        assert verdict.relation == "variant"
        assert any(reason.startswith("other colours in") for reason in verdict.reasons)


GREYS = ("#808080", "#a0a0a0"), ("#c0c0c0", "#e0e0e0"), ("#901818", "#c02020"), ("#204080", "#2850a0")


@pytest.mark.parametrize("colours", GREYS, ids="-".join)
def test_one_colour_in_another_shade_is_a_variant(colours: tuple[str, str]) -> None:
    """Each of these pairs differs by one gain for all channels, as a brightened copy does."""
    one, other = (sample(cup(colour)) for colour in colours)
    for pair in ((one, other), (other, one)):
        assert judge(*pair).relation == "variant"


def drawing() -> Image.Image:
    """Shapes in several colours on white."""
    image = Image.new("RGB", (256, 256), "white")
    pen = ImageDraw.Draw(image)
    for number in range(7):
        for across in range(7):
            colour = f"hsl({(number * 7 + across) * 37 % 360}, 70%, {20 + 9 * number}%)"
            x, y = 22 + 31 * across, 22 + 31 * number
            pen.ellipse((x, y, x + 25, y + 25), fill=colour, outline="#302020", width=2)
    return image.filter(ImageFilter.GaussianBlur(0.7))


@pytest.mark.parametrize("factor", [1.25, 1.5, 0.7])
def test_a_brighter_drawing_of_several_colours_is_the_same(factor: float) -> None:
    whole, other = sample(drawing()), sample(ImageEnhance.Brightness(drawing()).enhance(factor))
    for pair in ((whole, other), (other, whole)):
        verdict = judge(*pair)
        assert verdict.relation == "same", verdict
        assert verdict.reasons[1] == "same colours, brighter or darker"


def captioned(image: Image.Image, width: float) -> Image.Image:
    image = image.copy()
    side = image.width
    ImageDraw.Draw(image).rectangle((0, 0.9 * side, width * side, side), fill="#8090c0")
    return image


def test_a_drawing_may_have_a_caption_and_no_other_addition() -> None:
    whole = sample(drawing())
    for pair in ((whole, sample(captioned(drawing(), 1))), (sample(captioned(drawing(), 1)), whole)):
        verdict = judge(*pair)
        assert verdict.relation == "same", verdict
        assert "one has a caption" in verdict.reasons
    assert judge(whole, sample(captioned(drawing(), 0.6))).relation != "same"
    badged = drawing()
    ImageDraw.Draw(badged).ellipse((200, 200, 250, 250), fill="red")
    assert judge(whole, sample(badged)).relation != "same"


def test_a_caption_does_not_explain_a_page_of_little_detail() -> None:
    plain = cup("#c02020")
    assert judge(sample(plain), sample(captioned(plain, 1))).relation != "same"


def test_a_narrow_photo_on_a_square_is_the_same() -> None:
    narrow = scene().crop((50, 0, 270, 320))
    for colour in ("white", "black"):
        square = ImageOps.pad(narrow, (320, 320), color=colour)
        for pair in ((narrow, square), (square, narrow)):
            assert judge(sample(pair[0]), sample(pair[1])).relation == "same"


def test_a_black_and_white_copy_and_a_mirrored_one_are_variants() -> None:
    whole = scene()
    grey = judge(sample(whole), sample(whole.convert("L")))
    assert (grey.relation, grey.reasons[-1]) == ("variant", "one is black and white")
    assert judge(sample(whole), sample(ImageOps.mirror(whole))) == Verdict("variant", ("mirrored",))


def test_other_content_in_the_middle_of_a_photo_makes_it_another_picture() -> None:
    whole = scene()
    filled = whole.copy()
    filled.paste(whole.crop((0, 0, 100, 100)).transpose(Image.Transpose.ROTATE_180), (110, 110))
    assert judge(sample(whole), sample(filled)).relation != "same"
    black = whole.copy()
    black.paste((0, 0, 0), (120, 120, 190, 190))
    assert judge(sample(whole), sample(black)).relation != "same"


def kept(original: Image.Image, edited: Image.Image, quality: int = 92) -> tuple[str, tuple[str, ...]]:
    """Which of an original and its edited copy is kept; the copy is older and first by name."""
    samples = [sample(original), sample(edited, quality)]
    verdict = judge(*samples)
    assert verdict.relation == "same"
    items = {
        0: Item("b-original", width=original.width, height=original.height, ingested_at="2"),
        1: Item("a-copy", width=edited.width, height=edited.height, ingested_at="1"),
    }
    order, reasons = choose(items, dict(enumerate(verdict.traces)))
    return items[order[0]].id, reasons


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("half", "most pixels"),
        ("cropped by 10 %", "unedited"),
        ("border", "unedited"),
        ("label", "unedited"),
    ],
)
def test_the_original_is_kept_and_why(change: str, reason: str) -> None:
    assert kept(scene(), COPIES[change](scene())) == ("b-original", (reason,))


def test_a_brightened_copy_with_clipped_tones_is_not_kept() -> None:
    bright = ImageEnhance.Brightness(scene()).enhance(1.4)
    assert kept(scene(), bright) == ("b-original", ("unedited",))


def test_the_less_compressed_of_two_is_kept() -> None:
    assert kept(scene(), scene(), quality=40) == ("b-original", ("least compressed",))


def test_equal_images_are_decided_by_age_then_by_name() -> None:
    items = {
        3: Item("b", width=9, height=9, ingested_at="2024-01-02"),
        5: Item("c", width=9, height=9, ingested_at="2024-01-01"),
        7: Item("a", width=9, height=9, ingested_at="2024-01-01"),
    }
    assert choose(items, {}) == ([7, 5, 3], ("added first", "first by name"))
    camera = {3: Traces(camera=True)}
    assert choose(items, camera) == ([3, 7, 5], ("straight from the camera",))


def test_a_photo_of_little_colour_and_its_black_and_white_version_are_variants() -> None:
    faint = ImageEnhance.Color(scene()).enhance(0.15)
    assert judge(sample(faint), sample(faint.convert("L"))).relation == "variant"
    assert judge(sample(faint), sample(faint, 30)).relation == "same"


@pytest.mark.parametrize("colour", ["black", "white", "#dddddd"])
def test_a_border_around_a_narrow_photo_does_not_pull_the_scale(colour: str) -> None:
    """The edge of the border is a mixture of both; it made the alignment wrong by 1.5 %."""
    narrow = scene().crop((40, 0, 280, 320))
    bordered = ImageOps.expand(narrow, 16, colour)
    found = align(sample(narrow).levels, sample(bordered).levels, [(0.88, 0.91, 0.06, 0.045)])
    assert found is not None
    assert found.scale_x == pytest.approx(240 / 272, abs=0.006)
    assert found.scale_y == pytest.approx(320 / 352, abs=0.006)
    assert judge(sample(narrow), sample(bordered)).relation == "same"
