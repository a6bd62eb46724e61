"""EfficientNet-Lite in Keras, for fine-tuning.

Layers have the checkpoint's names without the leading underscore, so that parts can be found by name.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from lookalike.training.backbones.efficientnet_lite import (
    BATCH_NORM_EPSILON,
    CLASSES,
    HEAD_FILTERS,
    STEM_FILTERS,
    Block,
    Variant,
    blocks,
    first_late_block,
)
from lookalike.training.backbones.weights import Weights


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
