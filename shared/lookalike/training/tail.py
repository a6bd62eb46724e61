"""The last stages of EfficientNet-Lite as something that trains quickly on a CPU.

The same numbers as the Keras network in inference mode. Batch normalisation keeps the backbone's mean and
variance (batches are small, and statistics that move would undo the frozen stages' work); so it is one
factor on the kernel and one bias, which saves a sixth of the time of a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lookalike.training.efficientnet_lite import (
    BATCH_NORM_EPSILON,
    Block,
    Variant,
    blocks,
    first_late_block,
)


class NormedConvolution(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """A convolution and the batch normalisation after it, taken from the layers of a Keras model."""

    def __init__(self, model: keras.Model, convolution: str, norm: str, stride: int = 1) -> None:
        super().__init__()
        self.names = convolution, norm
        layer = model.get_layer(convolution)
        self.depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        self.stride = stride
        gamma, beta, mean, variance = model.get_layer(norm).get_weights()
        self.kernel = tf.Variable(layer.get_weights()[0])
        self.gamma = tf.Variable(gamma)
        self.beta = tf.Variable(beta)
        self.mean = tf.constant(mean)
        self.factor = tf.constant(1.0 / np.sqrt(variance + BATCH_NORM_EPSILON))

    def __call__(self, x: Any) -> Any:
        """Not activated."""
        scale = self.gamma * self.factor
        strides = (1, self.stride, self.stride, 1)
        if self.depthwise:
            x = tf.nn.depthwise_conv2d(x, self.kernel * scale[:, tf.newaxis], strides, "SAME")
        else:
            x = tf.nn.conv2d(x, self.kernel * scale, strides, "SAME")
        return tf.nn.bias_add(x, self.beta - self.mean * scale)

    def trained(self) -> dict[str, tf.Variable]:
        """What is trained, by name."""
        convolution, norm = self.names
        return {
            f"{convolution}.kernel": self.kernel,
            f"{norm}.gamma": self.gamma,
            f"{norm}.beta": self.beta,
        }


class Tail(tf.Module):  # type: ignore[misc]
    """Blocks `first_late_block` to the last, the head convolution and the pooling.

    Args:
        model: the whole network, with its weights, made with `tap`.
        variant: which network that is.

    Attributes:
        shape: of what enters it, without the batch.
        compiled: itself as a TensorFlow graph, kept by whoever made it first.
    """

    def __init__(self, model: keras.Model, variant: Variant) -> None:
        super().__init__(name="tail")
        late = first_late_block(variant)
        self.blocks = [
            (block, _block_layers(model, block, f"blocks.{number}"))
            for number, block in enumerate(blocks(variant))
            if number >= late
        ]
        self.head = NormedConvolution(model, "conv_head", "bn1")
        self.shape: tuple[int, ...] = tuple(model.output_shape[0][1:])
        self.compiled: Any = None

    def __call__(self, activations: Any) -> Any:
        """(n, h, w, filters) float32, what enters the first of the blocks → (n, 1280) features."""
        x = activations
        for block, layers in self.blocks:
            start = x
            for layer in layers[:-1]:
                x = tf.nn.relu6(layer(x))
            x = layers[-1](x)
            if block.stride == 1 and block.filters_in == block.filters_out:
                x = start + x
        return tf.reduce_mean(tf.nn.relu6(self.head(x)), axis=(1, 2))

    def layers(self) -> Iterator[NormedConvolution]:
        """All of them, in order."""
        for _, layers in self.blocks:
            yield from layers
        yield self.head


def _block_layers(model: keras.Model, block: Block, name: str) -> list[NormedConvolution]:
    depthwise = NormedConvolution(model, f"{name}._depthwise_conv", f"{name}._bn1", block.stride)
    layers = [depthwise, NormedConvolution(model, f"{name}._project_conv", f"{name}._bn2")]
    if block.expansion > 1:
        layers.insert(0, NormedConvolution(model, f"{name}._expand_conv", f"{name}._bn0"))
    return layers
