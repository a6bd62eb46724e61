"""EfficientNet-Lite written straight into a LiteRT file, without TensorFlow.

Batch normalisation is folded into the convolution before it (Jacob et al., https://arxiv.org/abs/1712.05877,
section 3.2), in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.training.backbones.efficientnet_lite import (
    BATCH_NORM_EPSILON,
    Block,
    Variant,
    blocks,
    first_late_block,
)
from lookalike.training.backbones.litert_graph import LiteRTGraph, Tensor
from lookalike.training.backbones.weights import Weights

WHITE = 255.0
LEAST_WEIGHT = 1e-4
"""Least magnitude of a channel's largest weight in a model that will be quantised. ImageNet training left
channels with weights near zero. Their steps would be so small that the bias, counted in steps, would not fit
into 32 bits. Their outputs change by less than a thousandth of a step of the layer."""
INPUT = "pixels"
OUTPUT = "features"

Array = NDArray[Any]


def features_model(
    variant: Variant,
    weights: Weights,
    pixel_range: tuple[float, float],
    *,
    for_int8: bool = False,
    tap: bool = False,
) -> bytes:
    """A LiteRT model of (1, size, size, 3) float32 pixels, 0 to 255, → (1, 1280) float32 features.

    Args:
        variant: which member of the family, at which input size.
        weights: its checkpoint.
        pixel_range: what the network takes for a black and a white pixel.
        for_int8: the model will be quantised (see `LEAST_WEIGHT`).
        tap: also return the input of block `first_late_block`, (1, h, w, filters), as the first output.
    """
    network = LiteNetwork(variant, pixel_range, for_int8=for_int8)
    tapped = network.early(weights)
    features = network.late(weights, tapped)
    return network.graph.to_bytes(tapped, features) if tap else network.graph.to_bytes(features)


class LiteNetwork:
    """EfficientNet-Lite in a LiteRT graph, in two halves, which can be added with several weights.

    Args:
        variant: which member of the family, at which input size.
        pixel_range: what the network takes for a black and a white pixel.
        for_int8: the model will be quantised (see `LEAST_WEIGHT`).

    Attributes:
        graph: under construction.
    """

    def __init__(self, variant: Variant, pixel_range: tuple[float, float], *, for_int8: bool) -> None:
        self.graph = LiteRTGraph(INPUT, (1, variant.size, variant.size, 3))
        self._variant = variant
        self._least_weight = LEAST_WEIGHT if for_int8 else 0.0
        self._pixels = _normalised(self.graph, pixel_range)

    def early(self, weights: Weights, prefix: str = "") -> Tensor:
        """From the pixels to the input of block `first_late_block`. `prefix` makes names unique."""
        layers = _Layers(self.graph, weights, self._least_weight, prefix)
        x = layers.convolution("_conv_stem", "_bn0", self._pixels, stride=2)
        return self._blocks(layers, x, range(first_late_block(self._variant)))

    def late(self, weights: Weights, tapped: Tensor, prefix: str = "") -> Tensor:
        """From there to the features, (1, 1280)."""
        layers = _Layers(self.graph, weights, self._least_weight, prefix)
        count = len(list(blocks(self._variant)))
        x = self._blocks(layers, tapped, range(first_late_block(self._variant), count))
        x = layers.convolution("_conv_head", "_bn1", x)
        return self.graph.spatial_mean(prefix + OUTPUT, x)

    def _blocks(self, layers: _Layers, x: Tensor, numbers: range) -> Tensor:
        every = list(blocks(self._variant))
        for number in numbers:
            x = layers.inverted_residual(every[number], f"_blocks.{number}", x)
        return x


class _Layers:
    """Convolutions of a checkpoint, each with its batch normalisation folded in."""

    def __init__(self, graph: LiteRTGraph, weights: Weights, least_weight: float, prefix: str) -> None:
        self._graph = graph
        self._weights = weights
        self._least_weight = least_weight
        self._prefix = prefix

    def inverted_residual(self, block: Block, name: str, source: Tensor) -> Tensor:
        x = source
        if block.expansion > 1:
            x = self.convolution(f"{name}._expand_conv", f"{name}._bn0", x)
        x = self._depthwise(f"{name}._depthwise_conv", f"{name}._bn1", x, block.stride)
        x = self.convolution(f"{name}._project_conv", f"{name}._bn2", x, relu6=False)
        if block.stride == 1 and block.filters_in == block.filters_out:
            x = self._graph.sum(f"{self._prefix}{name}.add", source, x)
        return x

    def convolution(
        self, name: str, norm: str, source: Tensor, *, stride: int = 1, relu6: bool = True
    ) -> Tensor:
        kernel, bias = self._folded(name, norm)
        axes = kernel.transpose(0, 2, 3, 1)
        name = self._prefix + name
        return self._graph.convolution(name, source, axes, bias, stride=stride, relu6=relu6)

    def _depthwise(self, name: str, norm: str, source: Tensor, stride: int) -> Tensor:
        kernel, bias = self._folded(name, norm)
        axes = kernel.transpose(1, 2, 3, 0)
        name = self._prefix + name
        return self._graph.depthwise_convolution(name, source, axes, bias, stride=stride, relu6=True)

    def _folded(self, name: str, norm: str) -> tuple[Array, Array]:
        """Kernel in PyTorch's axes, (out, in, h, w), and bias, in float64."""
        kernel = self._weights[f"{name}.weight"].astype(np.float64)
        gamma, beta, mean, variance = (
            self._weights[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
        folded = kernel * scale[:, np.newaxis, np.newaxis, np.newaxis]
        _raise_to(self._least_weight, folded.reshape(len(folded), -1))
        return folded, beta - mean * scale


def _normalised(graph: LiteRTGraph, pixel_range: tuple[float, float]) -> Tensor:
    """0..255 → `pixel_range`, in a separate operation.

    Folded into the first convolution, its zero padding would no longer be the network's zero.
    """
    black, white = pixel_range
    kernel = np.full((1, 1, 1, 3), (white - black) / WHITE)
    return graph.depthwise_convolution("normalise", graph.input, kernel, np.full(3, black))


def _raise_to(least: float, channels: Array) -> None:
    """Give each row, in place, a largest magnitude of `least` or more."""
    largest = np.abs(channels).argmax(axis=1)
    rows = np.flatnonzero(np.abs(channels[np.arange(len(channels)), largest]) < least)
    channels[rows, largest[rows]] = least
