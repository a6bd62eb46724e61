"""Losses that pull images of one class together and push different classes away.

Every loss takes the layer's embeddings (n, dimension) float32, integer labels (n,), and the layer's class
weights (dimension, classes). It returns one number, the mean over the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from lookalike.training.options import Loss

SCALE = 16.0
COSFACE_MARGIN = 0.15
ARCFACE_MARGIN = 0.2
CONTRASTIVE_MARGIN = 1.0
TRIPLET_MARGIN = 0.3
SMALLEST = 1e-12

LossFunction = Callable[[Any, Any, Any], Any]


def softmax(embeddings: Any, labels: Any, class_weights: Any) -> Any:
    """Cross-entropy of softmax over inner products with the class weights, no bias.

    A classifier of unit-length features, as in NormFace (Wang et al. 2017, https://arxiv.org/abs/1704.06369),
    would be `cosface` with margin 0; here lengths are not normalised, as in a plain classification layer.
    """
    return _cross_entropy(embeddings @ class_weights, labels)


def cosface(embeddings: Any, labels: Any, class_weights: Any) -> Any:
    """Large margin cosine loss (Wang et al. 2018, https://arxiv.org/abs/1801.09414): s (cos θ_y − m)."""
    cosines = _cosines(embeddings, class_weights)
    margin = COSFACE_MARGIN * tf.one_hot(labels, tf.shape(cosines)[1])
    return _cross_entropy(SCALE * (cosines - margin), labels)


def arcface(embeddings: Any, labels: Any, class_weights: Any) -> Any:
    """Additive angular margin loss (Deng et al. 2019, https://arxiv.org/abs/1801.07698): s cos(θ_y + m)."""
    cosines = _cosines(embeddings, class_weights)
    limit = 1.0 - 1e-6
    sines = tf.sqrt(1.0 - tf.square(tf.clip_by_value(cosines, -limit, limit)))
    shifted = cosines * math.cos(ARCFACE_MARGIN) - sines * math.sin(ARCFACE_MARGIN)
    # Beyond π − m the cosine would rise again; the paper's code continues linearly there.
    turned = cosines < math.cos(math.pi - ARCFACE_MARGIN)
    shifted = tf.where(turned, cosines - ARCFACE_MARGIN * math.sin(ARCFACE_MARGIN), shifted)
    own = tf.one_hot(labels, tf.shape(cosines)[1], on_value=True, off_value=False, dtype=tf.bool)
    return _cross_entropy(SCALE * tf.where(own, shifted, cosines), labels)


def contrastive(embeddings: Any, labels: Any, class_weights: Any = None) -> Any:
    """Loss of a siamese network over all pairs of the batch (Hadsell, Chopra, LeCun 2006, "Dimensionality
    Reduction by Learning an Invariant Mapping"): d² for pairs of one class, max(0, m − d)² for others.

    Each kind is averaged separately, because there are many more pairs of different classes. Those with a
    distance above m are left out of the mean; otherwise their zeros would hide the few that are closer.
    """
    del class_weights
    distances = _distances(embeddings)
    same, different = _pairs(labels)
    near = different & (distances < CONTRASTIVE_MARGIN)
    pushed = tf.square(CONTRASTIVE_MARGIN - distances)
    return 0.5 * (_mean_over(tf.square(distances), same) + _mean_over(pushed, near))


def triplet(embeddings: Any, labels: Any, class_weights: Any = None) -> Any:
    """Triplet hinge loss with semi-hard mining (Schroff et al. 2015, FaceNet, https://arxiv.org/abs/1503.03832).

    For each pair of one class: the nearest other-class image that is farther than the pair, or else the
    farthest one; hinge on squared distances of unit-length vectors.
    """
    del class_weights
    squared = tf.square(_distances(embeddings))
    same, different = _pairs(labels)
    # (anchor, positive, negative)
    farther = different[:, tf.newaxis, :] & (squared[:, tf.newaxis, :] > squared[:, :, tf.newaxis])
    beyond = tf.where(farther, squared[:, tf.newaxis, :], tf.float32.max)
    nearest_beyond = tf.reduce_min(beyond, axis=2)
    farthest = tf.reduce_max(tf.where(different, squared, 0.0), axis=1, keepdims=True)
    negative = tf.where(tf.reduce_any(farther, axis=2), nearest_beyond, farthest)
    return _mean_over(tf.maximum(squared - negative + TRIPLET_MARGIN, 0.0), same)


LOSSES: Mapping[Loss, LossFunction] = {
    "softmax": softmax,
    "cosface": cosface,
    "arcface": arcface,
    "contrastive": contrastive,
    "triplet": triplet,
}
PAIRWISE: frozenset[Loss] = frozenset({"contrastive", "triplet"})
"""Losses that need several images of a class in each batch, and have no class weights."""


def _cross_entropy(logits: Any, labels: Any) -> Any:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def _cosines(embeddings: Any, class_weights: Any) -> Any:
    return tf.nn.l2_normalize(embeddings, 1) @ tf.nn.l2_normalize(class_weights, 0)


def _distances(embeddings: Any) -> Any:
    """Euclidean distances of all pairs of unit-length vectors; differentiable at 0."""
    units = tf.nn.l2_normalize(embeddings, 1)
    squared = 2.0 - 2.0 * tf.matmul(units, units, transpose_b=True)
    return tf.sqrt(tf.maximum(squared, SMALLEST))


def _pairs(labels: Any) -> tuple[Any, Any]:
    """Masks (n, n): pairs of one class, without an image paired with itself; pairs of different classes."""
    equal = labels[:, tf.newaxis] == labels[tf.newaxis, :]
    itself = tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    return equal & ~itself, ~equal


def _mean_over(values: Any, mask: Any) -> Any:
    chosen = tf.cast(mask, tf.float32)
    return tf.reduce_sum(values * chosen) / tf.maximum(tf.reduce_sum(chosen), 1.0)
