"""The last stages, rebuilt for training, are the same network; and what is exported is what was trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from fixtures.pictures import draw_scene
from fixtures.repetition import SOAK_SEED

from lookalike.encoders import Encoder
from lookalike.training.backbones.efficientnet_lite import VARIANTS, blocks, first_late_block
from lookalike.training.backbones.export import export_backbone
from lookalike.training.backbones.load import Backbone, load_backbone
from lookalike.training.fit.blend import Frozen, blended, unit
from lookalike.training.fit.head import Head
from lookalike.training.fit.last_stages import Tail
from lookalike.training.fit.trained_network import trained_network
from lookalike.types import Pixels, Vectors


@dataclass(frozen=True)
class Seen:
    """Images, and what the backbone makes of them; `calibration` are others."""

    pictures: list[Pixels]
    pixels: tf.Tensor
    activations: np.ndarray
    features: Vectors
    frozen: Frozen
    calibration: list[Pixels]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    """No test changes it: a `Tail` has variables of its own."""
    return load_backbone("efficientnet-lite0")


@pytest.fixture(scope="module")
def seen(backbone: Backbone) -> Seen:
    pictures = [draw_scene(seed, backbone.size) for seed in range(4)]
    pixels = tf.constant(np.stack(pictures).astype(np.float32))
    assert backbone.taps is not None
    activations, features = (part.numpy() for part in backbone.taps(pixels))
    calibration = [draw_scene(seed, backbone.size) for seed in range(20, 40)]
    return Seen(pictures, pixels, activations, features, Frozen.fit(features), calibration)


@pytest.mark.parametrize(
    ("name", "late", "filters"),
    [("efficientnet-lite0", 11, 112), ("efficientnet-lite1", 15, 112), ("efficientnet-lite2", 15, 120)],
)
def test_the_tail_gives_the_network_s_own_features(name: str, late: int, filters: int) -> None:
    assert first_late_block(VARIANTS[name]) == late
    assert list(blocks(VARIANTS[name]))[late].filters_in == filters
    backbone = load_backbone(name)
    size = backbone.size
    pixels = tf.constant(np.stack([draw_scene(seed, size) for seed in range(3)]).astype(np.float32))
    assert backbone.taps is not None
    activations, features = backbone.taps(pixels)
    tail = Tail(backbone.keras_model(), VARIANTS[name])
    assert activations.shape[1:] == tail.shape
    np.testing.assert_allclose(tail(activations).numpy(), features.numpy(), atol=2e-4)
    np.testing.assert_allclose(backbone.features(pixels).numpy(), features.numpy(), atol=1e-5)


def relative_errors(features: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Length of each row's error, as a share of the row's length; (n,)."""
    return np.linalg.norm(features - own, axis=1) / np.linalg.norm(own, axis=1)


@pytest.mark.parametrize(("compute", "significand_bits"), [(tf.float32, 24), (tf.bfloat16, 8)])
def test_the_whole_network_gives_its_own_features(
    backbone: Backbone, compute: tf.DType, significand_bits: int
) -> None:
    """The error of a vector stays within what rounding explains, on every processor.

    One rounding errs by up to u = 2^-bits of a number. A layer rounds three times (kernel, convolution, sum
    with the bias). Errors of different numbers are independent, so those of 49 layers add up as the root of
    their squares: √(3 × 49) u = 12 u. Cancellation makes a layer's relative error larger than that of its
    inputs; the bound is 49 u, one whole u for each layer, four times the estimate. It holds for the vector of
    1,280 numbers and not for each of them, because the largest error among 3,840 depends on the order in
    which a processor adds.

    float32 sums up to 1,152 products in the type itself, where bfloat16 sums in float32; so it gets the
    factor √1152 = 34.
    """
    pixels = np.stack([draw_scene(seed, backbone.size) for seed in range(3)])
    network = Tail(backbone.keras_model(), VARIANTS["efficientnet-lite0"], whole=True, compute=compute)
    assert network.shape == pixels.shape[1:]
    layers = list(network.layers())
    assert len(layers) == 49
    bound = len(layers) * 2.0**-significand_bits * (34 if compute == tf.float32 else 1)
    own = backbone.features(tf.constant(pixels.astype(np.float32))).numpy()
    features = network(tf.constant(pixels)).numpy()
    assert features.dtype == np.float32
    assert relative_errors(features, own).max() < bound
    assert np.all((unit(features) * unit(own)).sum(axis=1) > 0.98)
    if compute == tf.float32:
        np.testing.assert_allclose(features, own, atol=5e-4)
    middle = layers[24]
    middle.beta.assign(tf.zeros_like(middle.beta))  # one wrong layer is far outside the bound
    assert relative_errors(network(tf.constant(pixels)).numpy(), own).min() > 3 * bound


@pytest.mark.parametrize("whole", [False, True])
def test_every_part_of_the_tail_is_trained(backbone: Backbone, whole: bool) -> None:
    tail = Tail(backbone.keras_model(), VARIANTS["efficientnet-lite0"], whole=whole)
    variables = {name: value for layer in tail.layers() for name, value in layer.trained().items()}
    activations = tf.random.stateless_normal((4, *tail.shape), (1, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tail(activations) ** 2)
    gradients = tape.gradient(loss, list(variables.values()))
    for name, gradient in zip(variables, gradients, strict=True):
        assert float(tf.reduce_max(tf.abs(gradient))) > 0, name


# Last stages and the whole network are exported by the same code, cut at another layer.
TRAINED = {
    "layer": (0.0, 0.7, 1.0),
    "last stages": (0.7, 1.0) if SOAK_SEED is None else (0.0, 0.7, 1.0),
    "whole network": (0.7,) if SOAK_SEED is None else (0.0, 0.7, 1.0),
}


@pytest.mark.parametrize(
    ("trained", "share"), [(trained, share) for trained, shares in TRAINED.items() for share in shares]
)
def test_the_exported_encoder_gives_the_vectors_that_were_trained(
    backbone: Backbone, seen: Seen, trained: str, share: float, tmp_path: Path
) -> None:
    own = seen.features
    head = Head(own.mean(0), own.std(0) + 0.1, 24, 3, seed=0, hidden=32 if trained == "layer" else 0)
    tail = None
    features = own
    if trained != "layer":
        whole = trained == "whole network"
        tail = Tail(backbone.keras_model(), VARIANTS["efficientnet-lite0"], whole=whole)
        for layer in tail.layers():  # as if it had been trained
            layer.gamma.assign(layer.gamma * 1.1)
        features = tail(seen.pixels if whole else seen.activations).numpy()
        assert np.abs(features - own).max() > 0.01
    network = trained_network(backbone, head, tail, seen.frozen, share, "learnt")
    manifest = export_backbone(
        network, tmp_path / "encoder", name="learnt", calibration=seen.calibration, bound=0.0
    )
    encoder = Encoder(manifest, tmp_path / "encoder" / "encoder.tflite", "fp32")
    expected = blended(head.embed(features), seen.frozen(own), share)
    assert manifest.dimension == expected.shape[1]
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(seen.pictures), unit(expected), atol=1e-3)
    int8 = Encoder(manifest, tmp_path / "encoder" / "encoder.int8.tflite", "int8").encode(seen.pictures)
    assert np.mean(np.sum(int8 * unit(expected), axis=1)) > 0.8  # a random head amplifies rounding
