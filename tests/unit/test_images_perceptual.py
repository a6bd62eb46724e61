"""The perceptual hash: near for copies, far for others, absent where there is nothing to see."""

from __future__ import annotations

import io
from itertools import combinations

import numpy as np
import pytest
from fixtures.pictures import draw_scene
from PIL import Image, ImageEnhance

from lookalike.images import HASH_BYTES, DecodedImage, ImageLimits, decode, perceptual_hash
from lookalike.settings import Settings

LIMITS = ImageLimits.from_settings(Settings())
COPIES_WITHIN = 31
"""Bits of 256: PDQ's own threshold for two pictures being copies."""


def hashed(image: Image.Image) -> bytes:
    value = perceptual_hash(DecodedImage.from_pixels(np.asarray(image)))
    assert value is not None
    return value


def bits(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


SCENES = [Image.fromarray(draw_scene(seed, 300)) for seed in range(12)]


def jpeg(image: Image.Image, quality: int) -> bytes:
    target = io.BytesIO()
    image.save(target, "JPEG", quality=quality)
    return target.getvalue()


def test_a_hash_has_256_bits_and_half_of_them_set() -> None:
    for scene in SCENES:
        value = hashed(scene)
        assert len(value) == HASH_BYTES
        # Each bit says whether a frequency is above the median of all.
        assert int.from_bytes(value).bit_count() == pytest.approx(128, abs=2)


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.67, 1.5])
def test_a_resized_copy_is_near(scale: float) -> None:
    for scene in SCENES:
        side = round(scale * scene.width)
        assert (
            bits(hashed(scene), hashed(scene.resize((side, side), Image.Resampling.BICUBIC)))
            <= COPIES_WITHIN // 2
        )


def test_a_recompressed_or_brightened_copy_is_near() -> None:
    for scene in SCENES:
        worse = perceptual_hash(decode(jpeg(scene, 30), LIMITS))
        assert worse is not None
        assert bits(hashed(scene), worse) <= COPIES_WITHIN
        assert bits(hashed(scene), hashed(ImageEnhance.Brightness(scene).enhance(0.9))) <= COPIES_WITHIN


def test_reduced_decoding_hardly_changes_it() -> None:
    for scene in SCENES[:4]:
        data = jpeg(scene.resize((1_200, 1_200), Image.Resampling.BICUBIC), 90)
        whole, reduced = (perceptual_hash(decode(data, LIMITS, min_side=side)) for side in (None, 256))
        assert whole is not None
        assert reduced is not None
        assert bits(whole, reduced) <= 8


def test_other_pictures_are_far() -> None:
    distances = [bits(hashed(one), hashed(other)) for one, other in combinations(SCENES, 2)]
    assert min(distances) > 2 * COPIES_WITHIN


def test_a_mirrored_picture_is_no_copy() -> None:
    for scene in SCENES:
        assert bits(hashed(scene), hashed(scene.transpose(Image.Transpose.FLIP_LEFT_RIGHT))) > COPIES_WITHIN


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (90, 140, 30)])
@pytest.mark.parametrize("size", [(1, 1), (300, 200), (1, 4_000)])
def test_a_picture_without_features_has_none(colour: tuple[int, int, int], size: tuple[int, int]) -> None:
    assert perceptual_hash(DecodedImage.from_pixels(np.asarray(Image.new("RGB", size, colour)))) is None


def test_it_is_near_to_that_of_the_reference_code() -> None:
    import pdqhash

    for scene in SCENES:
        reference, _ = pdqhash.compute(np.asarray(scene))
        packed = np.packbits(np.asarray(reference, np.uint8)).tobytes()
        assert bits(hashed(scene), packed) <= 2 * COPIES_WITHIN
