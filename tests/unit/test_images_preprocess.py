"""One preprocessing: the same numbers wherever and however a picture is read."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from fixtures import containers as made
from fixtures.hostile import valid_files
from fixtures.pictures import draw_scene
from PIL import Image

from lookalike.errors import Incompatible, InvalidInput
from lookalike.images import (
    FITS,
    FORMATS,
    INTERPOLATIONS,
    DecodedImage,
    ImageLimits,
    Preprocess,
    decode,
    model_input,
    read_image,
    resample,
)
from lookalike.settings import Settings

LIMITS = ImageLimits.from_settings(Settings())
MEAN_BOUND = 2.5
"""How far a reduced decode may move the pixels of the model's input, of 255, on average. See HEADROOM."""


def saved(kind: str, pixels: np.ndarray, **options: object) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, kind, **options)  # type: ignore[arg-type]
    return target.getvalue()


def picture(pixels: np.ndarray) -> DecodedImage:
    return DecodedImage.from_pixels(pixels)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5_000), (5_000, 1), (31, 47), (300, 200), (900, 1_000)])
def test_any_picture_becomes_a_square(fit: str, interpolation: str, shape: tuple[int, int]) -> None:
    preprocess = Preprocess(size=64, fit=fit, interpolation=interpolation)  # type: ignore[arg-type]
    pixels = model_input(picture(np.full((*shape, 3), (200, 30, 90), np.uint8)), preprocess)
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.uint8
    assert pixels[31, 31].tolist() == [200, 30, 90]


def test_crop_takes_the_centre_of_the_shorter_side() -> None:
    scene = draw_scene(1, 256)
    tall = np.concatenate([np.zeros((40, 256, 3), np.uint8), scene, np.zeros((40, 256, 3), np.uint8)])
    # 0.875 of 256 is 224: nothing is resampled, so nothing changes.
    assert np.array_equal(model_input(picture(tall), Preprocess()), scene[16:240, 16:240])


def test_squash_takes_the_whole() -> None:
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = 255
    pixels = model_input(
        picture(wide), Preprocess(size=30, crop_fraction=1.0, fit="squash", interpolation="box")
    )
    assert (pixels[:, 11:19] == 255).all()
    assert (pixels[:, :9] == 0).all()
    assert (pixels[:, 21:] == 0).all()


def test_pad_keeps_the_proportions_on_white() -> None:
    wide = np.zeros((100, 300, 3), np.uint8)
    pixels = model_input(picture(wide), Preprocess(size=30, crop_fraction=1.0, fit="pad"))
    assert (pixels[10:20] == 0).all()
    assert (pixels[:10] == 255).all()
    assert (pixels[20:] == 255).all()


def test_resample_cuts_any_part() -> None:
    scene = draw_scene(2, 200)
    assert np.array_equal(resample(picture(scene), (10, 20, 110, 70), (100, 50)), scene[20:70, 10:110])
    assert resample(picture(scene), (10.5, 20.25, 150, 99), (64, 32), "lanczos").shape == (32, 64, 3)


@cache
def large(kind: str) -> tuple[bytes, DecodedImage]:
    """A scene of 724 × 543 with noise and hard edges everywhere: worse than nearly all photographs."""
    scene = draw_scene(9, 724)[:543]
    data = saved(kind, scene, **{"AVIF": {"speed": 10}, "WEBP": {"method": 0}}.get(kind, {}))
    return data, decode(data, LIMITS)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [70, 112])
def test_reduced_decoding_moves_the_input_little(kind: str, fit: str, size: int) -> None:
    data, whole = large(kind)
    preprocess = Preprocess(size=size, fit=fit)  # type: ignore[arg-type]
    reduced, pixels = read_image(data, LIMITS, preprocess)
    assert min(reduced.image.size) <= 272  # half, or less
    difference = np.abs(pixels.astype(int) - model_input(whole, preprocess))
    assert difference.mean() <= MEAN_BOUND


@pytest.mark.parametrize("orientation", range(1, 9))
def test_no_size_puts_the_edge_outside(orientation: int) -> None:
    """The whole of a reduced, turned picture is cut at its very edge, where rounding could overshoot."""
    exif = made.png_chunk(b"eXIf", made.exif(orientation).removeprefix(b"Exif\0\0"))
    preprocess = Preprocess(size=8, crop_fraction=1.0, fit="squash", interpolation="box")
    for width in range(12, 200, 7):
        data = made.png_insert(saved("PNG", np.full((97, width, 3), 90, np.uint8)), exif)
        for min_side in (3, 5, 11):
            assert (model_input(decode(data, LIMITS, min_side=min_side), preprocess) == 90).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_gives_the_upright_input(orientation: int) -> None:
    scene = draw_scene(3, 700)[:500]
    stored = np.asarray(_as_stored(Image.fromarray(scene), orientation))
    exif = made.png_chunk(b"eXIf", made.exif(orientation).removeprefix(b"Exif\0\0"))
    preprocess = Preprocess(size=64)
    _, turned = read_image(made.png_insert(saved("PNG", stored), exif), LIMITS, preprocess)
    _, upright = read_image(saved("PNG", scene), LIMITS, preprocess)
    assert np.abs(turned.astype(int) - upright).mean() < 1


def _as_stored(upright: Image.Image, orientation: int) -> Image.Image:
    """Inverse of what a reader must do: EXIF 2.32, table of the tag Orientation."""
    method = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    return upright if method is None else upright.transpose(method)


def digests(files: dict[str, bytes]) -> dict[str, str]:
    return {
        name: hashlib.sha256(read_image(data, LIMITS, Preprocess(size=48))[1].tobytes()).hexdigest()
        for name, data in files.items()
    }


def test_threads_and_processes_give_the_same_numbers(tmp_path: Path) -> None:
    files = {**valid_files(), "large.jpg": saved("JPEG", draw_scene(4, 900))}
    here = digests(files)
    with ThreadPoolExecutor(4) as pool:
        assert all(there == here for there in pool.map(digests, [files] * 8))
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    code = (
        "import hashlib, sys, pathlib, lookalike.images as images, lookalike.settings as settings\n"
        "limits = images.ImageLimits.from_settings(settings.Settings())\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    pixels = images.read_image(path.read_bytes(), limits, images.Preprocess(size=48))[1]\n"
        "    print(path.name, hashlib.sha256(pixels.tobytes()).hexdigest())\n"
    )
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert dict(line.split() for line in done.stdout.splitlines()) == here


def test_min_side_is_what_an_encoder_needs_and_some() -> None:
    preprocess = Preprocess(size=224, crop_fraction=0.875)
    assert preprocess.min_side * preprocess.crop_fraction >= preprocess.size
    # A 12-megapixel photo decodes at 1/8.
    assert preprocess.min_side <= 3_024 // 8


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess(),
        Preprocess(size=240, crop_fraction=1.0, fit="pad", interpolation="lanczos"),
        Preprocess(size=331, crop_fraction=0.5, fit="squash", interpolation="box"),
    ],
)
def test_a_manifest_keeps_it(preprocess: Preprocess) -> None:
    assert Preprocess.from_json(preprocess.to_json()) == preprocess


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"blur": 3},
        {"fit": "stretch"},
        {"interpolation": "nearest"},
        {"size": "big"},
        {"size": 0},
    ],
)
def test_a_manifest_of_another_version_is_incompatible(change: dict[str, object]) -> None:
    with pytest.raises(Incompatible):
        Preprocess.from_json({**Preprocess().to_json(), **change})


def test_a_manifest_without_a_version_is_incompatible() -> None:
    values = Preprocess().to_json()
    del values["version"]
    with pytest.raises(Incompatible, match="version"):
        Preprocess.from_json(values)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0},
        {"size": 5_000},
        {"crop_fraction": 0.0},
        {"crop_fraction": 1.5},
        {"crop_fraction": float("nan")},
        {"fit": "stretch"},
        {"interpolation": "nearest"},
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        Preprocess(**change)  # type: ignore[arg-type]
