"""The trained network: from pixels to a vector, ready for export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from lookalike.images import Preprocess
from lookalike.training.backbones.efficientnet_lite_litert import INPUT, LiteNetwork
from lookalike.training.backbones.litert_graph import LiteRTGraph, Tensor
from lookalike.training.backbones.litert_to_int8 import measure_ranges, to_int8
from lookalike.training.backbones.load import Backbone
from lookalike.training.backbones.network import KnownInt8, Network
from lookalike.training.backbones.packaged import PackagedNetwork, ShippedRanges
from lookalike.training.backbones.weights import Weights
from lookalike.training.fit.blend import Frozen
from lookalike.training.fit.head import Head
from lookalike.training.fit.last_stages import NormedConvolution, Tail
from lookalike.types import Pixels

TRAINED = "trained"
"""Prefix of the names of trained layers, where the network has them twice."""
OUTPUT = "vector"


def trained_network(
    backbone: Backbone, head: Head, tail: Tail | None, frozen: Frozen, share: float, name: str
) -> Network:
    """`backbone` with the feature layer on top, and with the trained last stages, if any.

    Args:
        backbone: the feature extractor used in training.
        head: the feature layer.
        tail: the trained last stages, or the whole trained network; None if they were not trained.
        frozen: the map of the backbone's own features.
        share: of the trained part; see `blend`.
        name: of the encoder.
    """
    if backbone.packaged is not None:
        return TrainedNetwork(name, backbone.packaged, head, tail, frozen, share)
    assert tail is None, "only packaged networks can be trained themselves"
    return _in_tensorflow(backbone, head, frozen, share, name)


def _in_tensorflow(backbone: Backbone, head: Head, frozen: Frozen, share: float, name: str) -> Backbone:
    own_kernel, own_bias = tf.constant(frozen.kernel), tf.constant(frozen.bias)

    def vector(pixels: Any) -> Any:
        features = backbone.features(pixels)
        parts = []
        if share > 0:
            parts.append(tf.nn.l2_normalize(head(features), axis=1) * share**0.5)
        if share < 1:
            rest = tf.nn.l2_normalize(tf.matmul(features, own_kernel) + own_bias, axis=1)
            parts.append(rest * (1 - share) ** 0.5)
        return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    return replace(
        backbone,
        name=name,
        dimension=_dimension(head, frozen, share),
        features=vector,
        taps=None,
        keep=(backbone, head, own_kernel, own_bias),
    )


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A packaged network with trained layers, which writes LiteRT models without TensorFlow's converter.

    Its layers on top of the features stay in float32 in the int8 model: they take no time.
    """

    name: str
    network: PackagedNetwork
    head: Head
    tail: Tail | None
    frozen: Frozen
    share: float

    @property
    def source(self) -> str:
        """The packaged network's name."""
        return self.network.source

    @property
    def size(self) -> int:
        """Side of its square input, in pixels."""
        return self.network.size

    @property
    def dimension(self) -> int:
        """Of its vector."""
        return _dimension(self.head, self.frozen, self.share)

    @property
    def preprocess(self) -> Preprocess:
        """That of the packaged network."""
        return self.network.preprocess

    @property
    def details(self) -> Mapping[str, Any]:
        """What trained it, and what wrote the int8 model."""
        return {"tensorflow": tf.__version__, **self.network.details}

    def to_fp32(self) -> bytes:
        """The model in float32: (1, size, size, 3) pixels, 0 to 255 → (1, dimension), of unit length."""
        return self._model(for_int8=False)[0]

    def to_int8(self, images: Sequence[Pixels]) -> tuple[bytes, Sequence[str]]:
        """The model in int8, with the ranges of `images`, (size, size, 3) uint8; and its float layers."""
        model, top = self._model(for_int8=True)
        layers = self._float_layers(top)
        return to_int8(model, measure_ranges(model, INPUT, images), layers), layers

    def known_int8(self) -> KnownInt8 | None:
        """The model in int8 with the shipped ranges; None if the network itself was trained."""
        if self.tail is not None or not self.network.has_ranges:
            return None
        model, top = self._model(for_int8=True)
        layers = self._float_layers(top)
        return KnownInt8(to_int8(model, ShippedRanges.of(self.network.name).ranges, layers), len(layers))

    def _float_layers(self, top: Sequence[str]) -> list[str]:
        shipped = ShippedRanges.of(self.network.name).float_layers
        return [*shipped, *(f"{TRAINED}/{layer}" for layer in shipped), *top]

    def _model(self, *, for_int8: bool) -> tuple[bytes, list[str]]:
        """The file, and the names of the layers on top of the features."""
        lite = LiteNetwork(self.network.variant, self.network.pixel_range, for_int8=for_int8)
        features, own = self._features(lite)
        top = _Top(lite.graph)
        vector = self._vector(top, features, own)
        return lite.graph.to_bytes(vector), top.names

    def _features(self, lite: LiteNetwork) -> tuple[Tensor, Tensor]:
        """The trained and the frozen features. Only those are computed of which the vector has a share."""
        weights = self.network.weights
        if self.tail is None or self.share == 0:
            own = lite.late(weights, lite.early(weights))
            return own, own
        learnt, prefix = trained_weights(weights, self.tail), f"{TRAINED}/"
        if self.tail.stem is not None:
            features = lite.late(learnt, lite.early(learnt, prefix), prefix)
            return features, features if self.share == 1 else lite.late(weights, lite.early(weights))
        tapped = lite.early(weights)
        features = lite.late(learnt, tapped, prefix)
        return features, features if self.share == 1 else lite.late(weights, tapped)

    def _vector(self, top: _Top, features: Tensor, own: Tensor) -> Tensor:
        parts = []
        if self.share > 0:
            parts.append(top.scaled("trained", top.head(self.head, features), self.share**0.5))
        if self.share < 1:
            mapped = top.affine("frozen", own, self.frozen.kernel, self.frozen.bias)
            parts.append(top.scaled("frozen", mapped, (1 - self.share) ** 0.5))
        return top.joined(parts)


class _Top:
    """The layers on top of the features. Remembers their names."""

    def __init__(self, graph: LiteRTGraph) -> None:
        self._graph = graph
        self.names: list[str] = []

    def _named(self, name: str) -> str:
        self.names.append(name)
        return name

    def head(self, head: Head, features: Tensor) -> Tensor:
        # Not folded into the first kernel: features that hardly vary would lose their digits.
        x = self._graph.sum(self._named("head/centred"), features, -head.mean.numpy())
        x = self._graph.product(self._named("head/standard"), x, head.scale.numpy())
        layers = head.layers()
        for number, (name, kernel, bias) in enumerate(layers):
            x = self.affine(f"head/{name}", x, kernel, bias, relu=number < len(layers) - 1)
        return x

    def affine(self, name: str, x: Tensor, kernel: Any, bias: Any, *, relu: bool = False) -> Tensor:
        return self._graph.fully_connected(self._named(name), x, kernel.T, bias, relu=relu)

    def scaled(self, name: str, x: Tensor, length: float) -> Tensor:
        x = self._graph.unit_length(self._named(f"{name}/unit"), x)
        return self._graph.product(self._named(f"{name}/share"), x, np.array([length], np.float32))

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        return self._graph.concatenation(self._named(OUTPUT), parts) if len(parts) > 1 else parts[0]


def trained_weights(weights: Weights, tail: Tail) -> Weights:
    """The checkpoint with the trained layers in place of its own, in PyTorch's axes."""
    found = dict(weights)
    for layer in tail.layers():
        convolution, norm = (f"_{name}" for name in layer.names)
        found[f"{convolution}.weight"] = _in_torch_axes(layer)
        found[f"{norm}.weight"], found[f"{norm}.bias"] = layer.gamma.numpy(), layer.beta.numpy()
    return found


def _in_torch_axes(layer: NormedConvolution) -> Any:
    """Keras' (h, w, in, out) → (out, in, h, w); depthwise (h, w, channel, 1) → (channel, 1, h, w)."""
    kernel = layer.kernel.numpy()
    return kernel.transpose(2, 3, 0, 1) if layer.depthwise else kernel.transpose(3, 2, 0, 1)


def _dimension(head: Head, frozen: Frozen, share: float) -> int:
    trained = int(head.classes.shape[0]) if share > 0 else 0
    return trained + (frozen.kernel.shape[1] if share < 1 else 0)
