"""The last stages of EfficientNet-Lite, or all of them, in a form that trains quickly.

Computes the same values as the Keras network in inference mode. Batch normalisation keeps the backbone's mean
and variance (batches are small, and moving statistics would not fit the frozen stages). So it becomes one
factor on the kernel and one bias, which makes a step a sixth faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lookalike.training.backbones.efficientnet_lite import (
    BATCH_NORM_EPSILON,
    PIXEL_RANGE,
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
        kernel = self.kernel * (scale[:, tf.newaxis] if self.depthwise else scale)
        convolve = tf.nn.depthwise_conv2d if self.depthwise else tf.nn.conv2d
        # Variables stay float32; only the arithmetic uses the type of the input.
        x = convolve(x, tf.cast(kernel, x.dtype), strides, "SAME")
        return tf.nn.bias_add(x, tf.cast(self.beta - self.mean * scale, x.dtype))

    def trained(self) -> dict[str, tf.Variable]:
        """What is trained, by name."""
        convolution, norm = self.names
        return {
            f"{convolution}.kernel": self.kernel,
            f"{norm}.gamma": self.gamma,
            f"{norm}.beta": self.beta,
        }


class Tail(tf.Module):  # type: ignore[misc]
    """Blocks `first_late_block` to the last, the head convolution and the pooling; or the whole network.

    Args:
        model: the whole network, with its weights, made with `tap`.
        variant: which network it is.
        whole: start from the pixels.
        compute: type of the computation. bfloat16 with float32 variables is mixed precision (Kalamkar et al.
            2019, https://arxiv.org/abs/1905.12322; no loss scaling is needed).

    Attributes:
        shape: of the input, without the batch.
        compiled: this as a TensorFlow graph; None until it is compiled.
    """

    def __init__(
        self, model: keras.Model, variant: Variant, *, whole: bool = False, compute: Any = tf.float32
    ) -> None:
        super().__init__(name="tail")
        first = 0 if whole else first_late_block(variant)
        self.compute = compute
        self.stem = NormedConvolution(model, "conv_stem", "bn0", stride=2) if whole else None
        self.blocks = [
            (block, _block_layers(model, block, f"blocks.{number}"))
            for number, block in enumerate(blocks(variant))
            if number >= first
        ]
        self.head = NormedConvolution(model, "conv_head", "bn1")
        self.shape: tuple[int, ...] = tuple((model.input_shape if whole else model.output_shape[0])[1:])
        self.compiled: Any = None

    def __call__(self, inputs: Any) -> Any:
        """Input of the first block, (n, h, w, filters) float32 → (n, 1280) float32 features.

        The whole network takes pixels, (n, size, size, 3) RGB in 0..255.
        """
        x = inputs
        if self.stem is not None:
            black, white = PIXEL_RANGE
            x = tf.cast(x, tf.float32) * ((white - black) / 255.0) + black
            x = tf.nn.relu6(self.stem(tf.cast(x, self.compute)))
        x = tf.cast(x, self.compute)
        for block, layers in self.blocks:
            start = x
            for layer in layers[:-1]:
                x = tf.nn.relu6(layer(x))
            x = layers[-1](x)
            if block.stride == 1 and block.filters_in == block.filters_out:
                x = start + x
        return tf.reduce_mean(tf.cast(tf.nn.relu6(self.head(x)), tf.float32), axis=(1, 2))

    def layers(self) -> Iterator[NormedConvolution]:
        """All of them, in order."""
        if self.stem is not None:
            yield self.stem
        for _, layers in self.blocks:
            yield from layers
        yield self.head


def _block_layers(model: keras.Model, block: Block, name: str) -> list[NormedConvolution]:
    depthwise = NormedConvolution(model, f"{name}._depthwise_conv", f"{name}._bn1", block.stride)
    layers = [depthwise, NormedConvolution(model, f"{name}._project_conv", f"{name}._bn2")]
    if block.expansion > 1:
        layers.insert(0, NormedConvolution(model, f"{name}._expand_conv", f"{name}._bn0"))
    return layers
