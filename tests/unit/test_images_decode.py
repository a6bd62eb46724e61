"""What decoding promises of sound pictures: limits before work, reduction, light imports."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from fixtures import containers as made
from fixtures.pictures import draw_scene
from PIL import Image

from lookalike.errors import ImageTooLarge, InvalidInput
from lookalike.images import FORMATS, DecodedImage, ImageLimits, decode
from lookalike.settings import Settings

LIMITS = ImageLimits.from_settings(Settings())
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}}
CLOSE = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "GIF": {},
}


def saved(kind: str, pixels: np.ndarray, **options: object) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, kind, **options)  # type: ignore[arg-type]
    return target.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_pixels_come_out_as_they_went_in(kind: str) -> None:
    scene = draw_scene(1, 120)[:90]
    image = decode(saved(kind, scene, **LOSSLESS.get(kind, CLOSE.get(kind, {}))), LIMITS)
    assert (image.width, image.height, image.format) == (120, 90, kind)
    assert image.pixels.dtype == np.uint8
    difference = np.abs(image.pixels.astype(int) - scene).mean()
    assert difference == 0 if kind in LOSSLESS else difference < 6


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(("width", "height"), [(500, 333), (333, 500), (257, 31)])
def test_reduction_keeps_the_side_that_was_asked_for(kind: str, width: int, height: int) -> None:
    scene = np.asarray(Image.fromarray(draw_scene(2, 500)).resize((width, height)))
    image = decode(saved(kind, scene), LIMITS, min_side=40)
    factor = min(width, height) // 40 or 1
    assert (image.width, image.height) == (width, height)
    assert 40 <= min(image.image.size) < 80 or factor == 1
    assert image.content == pytest.approx((0, 0, width / factor, height / factor))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_reduction_and_turning_agree_about_what_is_covered(orientation: int) -> None:
    """The last column of a reduced picture is covered in part; turned, it may be the first row."""
    pixels = np.full((103, 207, 3), 250, np.uint8)
    pixels[:, :4] = 0
    data = made.png_insert(
        saved("PNG", pixels), made.png_chunk(b"eXIf", made.exif(orientation).removeprefix(b"Exif\0\0"))
    )
    whole, reduced = decode(data, LIMITS), decode(data, LIMITS, min_side=10)
    assert (whole.width, whole.height) == (reduced.width, reduced.height)
    for place, other in zip(whole.content, reduced.content, strict=True):
        assert abs(place / 10 - other) < 1
    left, top, right, bottom = reduced.content
    assert right - left == pytest.approx(reduced.width / 10)
    assert bottom - top == pytest.approx(reduced.height / 10)


def test_limits_come_from_the_settings() -> None:
    limits = ImageLimits.from_settings(Settings(max_image_bytes=1, max_image_pixels=2, max_image_side=3))
    assert limits == ImageLimits(1, 2, 3)


@pytest.mark.parametrize("kind", FORMATS)
def test_each_limit_holds_for_each_format(kind: str) -> None:
    data = saved(kind, draw_scene(3, 64)[:40])
    decode(data, ImageLimits(len(data), 64 * 40, 64))
    for limits, reason in (
        (ImageLimits(len(data) - 1, 64 * 40, 64), "too_many_bytes"),
        (ImageLimits(len(data), 64 * 40 - 1, 64), "too_many_pixels"),
        (ImageLimits(len(data), 64 * 40, 63), "too_wide"),
    ):
        with pytest.raises(ImageTooLarge) as caught:
            decode(data, limits)
        assert caught.value.reason == reason
        assert "LOOKALIKE_MAX_IMAGE" in str(caught.value)


def test_size_is_judged_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a limit is passed, Pillow is not even asked to open the file."""
    from PIL import ImageFile

    def refuse(*_: object) -> None:
        raise AssertionError("opened")

    data = {kind: saved(kind, draw_scene(3, 64)) for kind in FORMATS}
    for file in data.values():
        decode(file, LIMITS)
    monkeypatch.setattr(ImageFile.ImageFile, "__init__", refuse)
    for file in data.values():
        with pytest.raises(ImageTooLarge):
            decode(file, ImageLimits(10**6, 10, 1000))


@pytest.mark.parametrize("kind", FORMATS)
def test_the_global_limit_of_pillow_plays_no_part(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our limits decide. Only TIFF and WebP ask Pillow's inside their plugins, and end in our error then."""
    data = saved(kind, draw_scene(4, 64))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if kind in ("TIFF", "WEBP"):
            with pytest.raises(ImageTooLarge) as caught:
                decode(data, LIMITS)
            assert caught.value.reason == "too_many_pixels"
        else:
            assert decode(data, LIMITS).width == 64
    assert Image.MAX_IMAGE_PIXELS == 100


def test_colours_of_transparent_pixels_do_not_bleed_when_reduced() -> None:
    """A black pixel that nobody sees must not darken its visible neighbours."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, ::2] = (255, 255, 255, 255)
    for kind in ("PNG", "WEBP"):
        image = decode(saved(kind, pixels, lossless=True), LIMITS, min_side=16)
        assert image.pixels.min() == 255


def test_large_pictures_are_flattened_in_strips_without_seams() -> None:
    from lookalike.images import colour

    scene = np.concatenate([draw_scene(5, 200), np.full((200, 200, 1), 128, np.uint8)], axis=2)
    image = decode(saved("PNG", scene), LIMITS, min_side=60)
    before = colour.STRIP_PIXELS
    colour.STRIP_PIXELS = 3 * 200
    try:
        assert np.array_equal(decode(saved("PNG", scene), LIMITS, min_side=60).pixels, image.pixels)
    finally:
        colour.STRIP_PIXELS = before


def test_from_pixels_takes_pixels_only() -> None:
    scene = draw_scene(6, 30)
    assert np.array_equal(DecodedImage.from_pixels(scene).pixels, scene)
    for wrong in (scene[0], scene[:, :, :2], scene.astype(np.float32), scene[:0]):
        with pytest.raises(InvalidInput, match="uint8"):
            DecodedImage.from_pixels(wrong)


def test_a_srgb_profile_costs_no_colour_management() -> None:
    """And other plugins than the format's own are not loaded."""
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = saved("JPEG", draw_scene(7, 40), icc_profile=profile)
    assert b"ICC_PROFILE" in data
    code = (
        "import sys, lookalike.images as images, lookalike.settings as settings\n"
        "assert 'PIL' not in sys.modules\n"
        "limits = images.ImageLimits.from_settings(settings.Settings())\n"
        "images.read_image(sys.stdin.buffer.read(), limits, images.Preprocess())\n"
        "print(*sorted(name for name in sys.modules if name.startswith('PIL.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    loaded = set(done.stdout.decode().split())
    assert "PIL.JpegImagePlugin" in loaded
    assert {name for name in loaded if name.endswith("Plugin")} == {"PIL.JpegImagePlugin"}
    assert "PIL.ImageCms" not in loaded


def test_a_file_and_its_bytes_are_one(tmp_path: Path) -> None:
    data = saved("WEBP", draw_scene(8, 50))
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    assert np.array_equal(decode(path.read_bytes(), LIMITS).pixels, decode(data, LIMITS).pixels)
    assert decode(memoryview(data).tobytes(), LIMITS).format == "WEBP"
