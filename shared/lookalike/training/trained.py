"""The trained network as one function from pixels to a vector, ready for export."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tensorflow as tf

from lookalike.training.backbones import Backbone
from lookalike.training.blend import Frozen
from lookalike.training.head import Head
from lookalike.training.tail import Tail

FLOAT_SCOPE = "feature_layer"
"""Operations below this name stay in float32 in an int8 model: they cost next to nothing, and unit length is
not to be rounded."""


def trained_backbone(
    backbone: Backbone, head: Head, tail: Tail | None, frozen: Frozen, share: float, name: str
) -> Backbone:
    """`backbone` with the feature layer on top, and with the trained last stages if there are any.

    Args:
        backbone: what was trained on.
        head: the feature layer.
        tail: the last stages; None if they stay as they were.
        frozen: the map of the backbone's own features.
        share: of the trained part; see `blend`.
        name: of the encoder.
    """
    arrays = head.arrays()
    kernel, bias = tf.constant(arrays["kernel"]), tf.constant(arrays["bias"])
    own_kernel, own_bias = tf.constant(frozen.kernel), tf.constant(frozen.bias)

    def vector(pixels: Any) -> Any:
        if tail is not None:
            assert backbone.taps is not None
            activations, own = backbone.taps(pixels)
            features = tail(activations)
        else:
            features = own = backbone.features(pixels)
        with tf.name_scope(FLOAT_SCOPE):
            parts = []
            if share > 0:
                trained = tf.nn.l2_normalize(tf.matmul(features, kernel) + bias, axis=1)
                parts.append(trained * share**0.5)
            if share < 1:
                rest = tf.nn.l2_normalize(tf.matmul(own, own_kernel) + own_bias, axis=1)
                parts.append(rest * (1 - share) ** 0.5)
            return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    dimension = (kernel.shape[1] if share > 0 else 0) + (own_kernel.shape[1] if share < 1 else 0)
    return replace(
        backbone,
        name=name,
        dimension=int(dimension),
        features=vector,
        taps=None,
        keep=(backbone, head, tail, kernel, bias, own_kernel, own_bias),
    )
