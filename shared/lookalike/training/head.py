"""The feature-vector layer and the classification layer: what is trained on top of the backbone."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lookalike.training.blend import unit
from lookalike.types import Vectors

DROPOUT = 0.3
EPSILON = 1e-5


class Head(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Standardise, drop out, dense layer; and one weight vector for each class.

    Mean and variance of the features are those of the training set, measured once: features of a frozen
    backbone do not drift, so nothing has to be tracked, and training and serving see the same numbers.

    Args:
        mean, deviation: (features,) float32, of the training features.
        dimension: of the embedding.
        classes: how many.
        seed: of the first weights.
    """

    def __init__(
        self,
        mean: NDArray[np.float32],
        deviation: NDArray[np.float32],
        dimension: int,
        classes: int,
        seed: int,
    ) -> None:
        super().__init__(name="head")
        self.mean = tf.constant(mean)
        self.scale = tf.constant(1.0 / np.maximum(deviation, EPSILON).astype(np.float32))
        rng = np.random.default_rng([seed, 1])
        spread = np.sqrt(2.0 / (len(mean) + dimension))  # Glorot and Bengio 2010
        self.kernel = tf.Variable(
            rng.normal(0, spread, (len(mean), dimension)).astype(np.float32), name="kernel"
        )
        self.bias = tf.Variable(np.zeros(dimension, np.float32), name="bias")
        self.classes = tf.Variable(
            rng.normal(0, 1 / np.sqrt(dimension), (dimension, classes)).astype(np.float32), name="classes"
        )

    def __call__(self, features: Any, dropout_seed: Any = None) -> Any:
        """(n, features) → (n, dimension); with a seed, as in training, with dropout."""
        x = (features - self.mean) * self.scale
        if dropout_seed is not None:
            x = tf.nn.experimental.stateless_dropout(x, DROPOUT, dropout_seed)
        return tf.linalg.matmul(x, self.kernel) + self.bias

    def trained(self) -> dict[str, tf.Variable]:
        """What is trained, by name."""
        return {"kernel": self.kernel, "bias": self.bias, "classes": self.classes}

    def embed(self, features: Vectors) -> Vectors:
        """(n, features) float32 → (n, dimension) float32 of unit length, as serving does it."""
        arrays = self.arrays()
        return unit(features @ arrays["kernel"] + arrays["bias"])

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Everything that serving needs, as one affine map: embedding = features @ kernel + bias."""
        kernel = self.scale.numpy()[:, np.newaxis] * self.kernel.numpy()
        return {"kernel": kernel, "bias": self.bias.numpy() - self.mean.numpy() @ kernel}
