"""The feature-vector layer and the classification layer, which are trained on top of the backbone."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lookalike.training.fit.blend import unit
from lookalike.types import Vectors

DROPOUT = 0.3
EPSILON = 1e-5
HIDDEN = 512
BLOCK = 8_192


class Head(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Standardisation, dropout, an optional hidden layer, the feature layer, and one weight vector per class.

    Mean and variance of the features are measured once, on the training set: features of a frozen backbone do
        not drift, so no moving averages are needed, and training and serving use the same numbers.

    Args:
        mean, deviation: (features,) float32, of the training features.
        dimension: of the embedding.
        classes: how many.
        seed: of the initial weights.
        hidden: width of the hidden layer (ReLU); 0 for none. On frozen features it gains 2 to 8 points of
            mAP@R; trained last stages need none.
    """

    def __init__(  # a network's sizes
        self,
        mean: NDArray[np.float32],
        deviation: NDArray[np.float32],
        dimension: int,
        classes: int,
        seed: int,
        hidden: int = HIDDEN,
    ) -> None:
        super().__init__(name="head")
        self.mean = tf.constant(mean)
        self.scale = tf.constant(1.0 / np.maximum(deviation, EPSILON).astype(np.float32))
        rng = np.random.default_rng([seed, 1])
        self._layers: list[tuple[str, tf.Variable, tf.Variable]] = []
        width = len(mean)
        for name, size in (
            (("hidden", hidden), ("feature", dimension)) if hidden else (("feature", dimension),)
        ):
            spread = np.sqrt(2.0 / (width + size))  # Glorot and Bengio 2010
            kernel = tf.Variable(rng.normal(0, spread, (width, size)).astype(np.float32))
            self._layers.append((name, kernel, tf.Variable(np.zeros(size, np.float32))))
            width = size
        self.classes = tf.Variable(
            rng.normal(0, 1 / np.sqrt(dimension), (dimension, classes)).astype(np.float32)
        )

    def __call__(self, features: Any, dropout_seed: Any = None) -> Any:
        """(n, features) → (n, dimension), not of unit length. With a seed (in training), dropout is
        applied."""
        x = (features - self.mean) * self.scale
        for number, (_, kernel, bias) in enumerate(self._layers):
            x = tf.nn.relu(x) if number else x
            if dropout_seed is not None:
                x = tf.nn.experimental.stateless_dropout(x, DROPOUT, dropout_seed + number)
            x = tf.linalg.matmul(x, kernel) + bias
        return x

    def layers(self) -> list[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
        """Name, kernel (in, out) and bias of each layer; a ReLU is between two."""
        return [(name, kernel.numpy(), bias.numpy()) for name, kernel, bias in self._layers]

    def trained(self) -> dict[str, tf.Variable]:
        """The trainable variables by name."""
        named = {f"{name}.kernel": kernel for name, kernel, _ in self._layers}
        named |= {f"{name}.bias": bias for name, _, bias in self._layers}
        return {**named, "classes": self.classes}

    @property
    def undecayed(self) -> list[str]:
        """Names of the variables without weight decay."""
        return [f"{name}.bias" for name, _, _ in self._layers]

    def embed(self, features: Vectors) -> Vectors:
        """(n, features) float32 → (n, dimension) float32 of unit length, as in serving."""
        blocks = [
            self(tf.constant(features[start : start + BLOCK])).numpy()
            for start in range(0, len(features), BLOCK)
        ]
        return unit(np.concatenate(blocks))
