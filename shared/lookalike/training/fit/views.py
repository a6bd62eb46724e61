"""Deterministic augmented views of an image for training.

View 0 is exactly the view used in serving. View 1 is its mirror image, view 2 the whole image without keeping
its proportions; further ones are random resized crops (Szegedy et al. 2014, https://arxiv.org/abs/1409.4842)
with some jitter of brightness, contrast and saturation. Hue is not changed: for a shop, red and green shoes
are not similar.
"""

from __future__ import annotations

import math

import numpy as np

from lookalike.images import DecodedImage, Preprocess, model_input, resample
from lookalike.images.header import Box
from lookalike.types import Pixels

VERSION = 1
"""Version of the views. Increase it with any change here that alters the pixels of a view."""

CROP_AREA = (0.3, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)
JITTER = 0.25
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
MIDDLE_GREY = 128.0
ATTEMPTS = 10


def view(image: DecodedImage, preprocess: Preprocess, number: int, digest: bytes) -> Pixels:
    """View `number` of an image: (size, size, 3) uint8, sRGB.

    Args:
        image: decoded with `preprocess.min_side`.
        preprocess: of the backbone.
        number: 0 or more.
        digest: of the file's content; with `number` it seeds the random choices.
    """
    if number == 0:
        return model_input(image, preprocess)
    if number == 1:
        return np.ascontiguousarray(model_input(image, preprocess)[:, ::-1])
    size = (preprocess.size, preprocess.size)
    if number == 2:
        return resample(image, (0.0, 0.0, image.width, image.height), size, preprocess.interpolation)
    rng = np.random.default_rng([number, *digest[:16]])
    pixels = resample(image, _random_crop(image, rng), size, "bilinear")
    if rng.random() < 0.5:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    return _jittered(pixels, rng)


def _random_crop(image: DecodedImage, rng: np.random.Generator) -> Box:
    width, height = image.width, image.height
    for _ in range(ATTEMPTS):
        area = width * height * rng.uniform(*CROP_AREA)
        ratio = math.exp(rng.uniform(math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])))
        across, down = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if across <= width and down <= height:
            left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
            return left, top, left + across, top + down
    side = min(width, height)  # a very long image
    left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
    return left, top, left + side, top + side


def _jittered(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """All three as one linear map, which Pillow applies with one rounding."""
    from PIL import Image

    brightness, contrast, saturation = rng.uniform(1 - JITTER, 1 + JITTER, 3)
    colours = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * np.tile(LUMA, (3, 1)))
    shift = brightness * (1 - contrast) * MIDDLE_GREY
    matrix = np.column_stack([colours, np.full(3, shift)])
    return np.asarray(Image.fromarray(pixels).convert("RGB", tuple(matrix.ravel().tolist())))
