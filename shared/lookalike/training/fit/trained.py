"""The trained network as one function from pixels to a vector, ready for export."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tensorflow as tf

from lookalike.training.backbones.load import Backbone
from lookalike.training.fit.blend import Frozen
from lookalike.training.fit.head import Head
from lookalike.training.fit.last_stages import Tail


def trained_backbone(
    backbone: Backbone, head: Head, tail: Tail | None, frozen: Frozen, share: float, name: str
) -> Backbone:
    """`backbone` with the feature layer on top, and with the trained last stages, if any.

    Args:
        backbone: the feature extractor used in training.
        head: the feature layer.
        tail: the trained last stages; None if they were not trained.
        frozen: the map of the backbone's own features.
        share: of the trained part; see `blend`.
        name: of the encoder.
    """
    own_kernel, own_bias = tf.constant(frozen.kernel), tf.constant(frozen.bias)
    if tail is not None:
        tail.compute = tf.float32  # LiteRT converts float32, also if training used bfloat16

    def vector(pixels: Any) -> Any:
        if tail is not None and tail.stem is not None:
            features, own = tail(pixels), backbone.features(pixels)
        elif tail is not None:
            assert backbone.taps is not None
            activations, own = backbone.taps(pixels)
            features = tail(activations)
        else:
            features = own = backbone.features(pixels)
        parts = []
        if share > 0:
            parts.append(tf.nn.l2_normalize(head(features), axis=1) * share**0.5)
        if share < 1:
            rest = tf.nn.l2_normalize(tf.matmul(own, own_kernel) + own_bias, axis=1)
            parts.append(rest * (1 - share) ** 0.5)
        return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    dimension = (head.classes.shape[0] if share > 0 else 0) + (own_kernel.shape[1] if share < 1 else 0)
    return replace(
        backbone,
        name=name,
        dimension=int(dimension),
        features=vector,
        taps=None,
        keep=(backbone, head, tail, own_kernel, own_bias),
    )
