"""EfficientNet-Lite: against a second implementation in numpy, and on pictures whose class is known."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from fixtures.pictures import draw_clock, draw_scene
from PIL import Image

from lookalike.training.backbones.efficientnet_lite import VARIANTS, load_weights

# TensorFlow is imported by the tests, not by their collection, which every worker repeats.
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs lookalike[train]"),
]
PHOTOS = Path(os.environ.get("LOOKALIKE_DATA", Path(__file__).parents[3] / "shared" / "data"))
ANALOG_CLOCK, WALL_CLOCK = 409, 892
FRUIT = {"Banana": 954, "Orange": 950, "Pineapple": 953, "Granny-Smith": 948}
# Parameters that training changes, as the authors' README states them, in millions.
PUBLISHED_PARAMETERS = {"efficientnet-lite0": 4.7, "efficientnet-lite1": 5.4, "efficientnet-lite2": 6.1}


@pytest.fixture(scope="module")
def lite():
    from lookalike.training.backbones import efficientnet_lite_keras

    return efficientnet_lite_keras


@pytest.fixture(scope="module")
def weights():
    return load_weights("efficientnet-lite0")


@pytest.fixture(scope="module")
def classifier(lite, weights):
    return lite.build(VARIANTS["efficientnet-lite0"], weights, classify=True)


def logits_of(model, picture: np.ndarray) -> np.ndarray:
    return all_logits(model, picture[None])[0]


def all_logits(model, pictures: np.ndarray) -> np.ndarray:
    return np.asarray(model((pictures.astype(np.float32) - 127) / 128, training=False))


class Reference:
    """The network once more, written from the paper with numpy only; (h, w, c) in, logits out.

    Its layout is read off the checkpoint's shapes, so that a wrong stage table in the library shows.
    """

    def __init__(self, weights):
        self.weights = weights
        self.strides = {1: 2, 3: 2, 5: 2, 11: 2}

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        x = (pixels.astype(np.float64) - 127) / 128
        x = self.norm(self.convolve(x, "_conv_stem", 2), "_bn0")
        for number in range(16):
            x = self.block(x, f"_blocks.{number}", self.strides.get(number, 1))
        x = self.norm(self.convolve(x, "_conv_head", 1), "_bn1")
        return self.weights["_fc.weight"] @ x.mean((0, 1)) + self.weights["_fc.bias"]

    def block(self, start, name, stride):
        x = start
        if f"{name}._expand_conv.weight" in self.weights:
            x = self.norm(self.convolve(x, f"{name}._expand_conv", 1), f"{name}._bn0")
        x = self.norm(self.convolve(x, f"{name}._depthwise_conv", stride), f"{name}._bn1")
        x = self.norm(self.convolve(x, f"{name}._project_conv", 1), f"{name}._bn2", activate=False)
        return x + start if x.shape == start.shape else x

    def convolve(self, x, name, stride):
        kernel = self.weights[f"{name}.weight"].astype(np.float64)  # (out, in or 1, k, k)
        side = kernel.shape[-1]
        size = -(-x.shape[0] // stride)
        total = max((size - 1) * stride + side - x.shape[0], 0)  # TensorFlow's SAME: the odd one goes after
        pad = (total // 2, total - total // 2)
        x = np.pad(x, (pad, pad, (0, 0)))
        out = 0
        for row in range(side):
            for column in range(side):
                window = x[row : row + size * stride : stride, column : column + size * stride : stride]
                window = window[:size, :size]
                tap = kernel[:, :, row, column]
                out = out + (window * tap[:, 0] if "_depthwise" in name else window @ tap.T)
        return out

    def norm(self, x, name, activate=True):
        scale = self.weights[f"{name}.weight"] / np.sqrt(self.weights[f"{name}.running_var"] + 1e-3)
        x = (x - self.weights[f"{name}.running_mean"]) * scale + self.weights[f"{name}.bias"]
        return np.clip(x, 0, 6) if activate else x


@pytest.mark.parametrize("picture", [draw_clock(224), draw_scene(3, 224)], ids=["clock", "scene"])
def test_logits_agree_with_the_reference(weights, classifier, picture):
    expected = Reference(weights).logits(picture)
    logits = logits_of(classifier, picture)
    assert np.abs(logits - expected).max() < 1e-3 * np.abs(expected).max()
    assert logits.argmax() == expected.argmax()


def test_a_drawn_clock_is_a_clock(classifier):
    logits = logits_of(classifier, draw_clock(224))
    assert {ANALOG_CLOCK, WALL_CLOCK} == set(np.argsort(logits)[-2:])


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="no photos here; LOOKALIKE_DATA names their folder")
@pytest.mark.parametrize(("fruit", "expected"), FRUIT.items())
def test_photographed_fruit_is_recognised(classifier, fruit, expected):
    files = sorted((PHOTOS / "grocery" / fruit).glob("*.jpg"))[:10]
    photos = [Image.open(file).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC) for file in files]
    best = np.argsort(all_logits(classifier, np.stack(photos)))[:, -5:]
    assert np.mean([expected in five for five in best]) >= 0.7


@pytest.mark.parametrize("name", list(PUBLISHED_PARAMETERS))
def test_every_variant_takes_its_weights_and_has_the_published_size(lite, name):
    variant = VARIANTS[name]
    loaded = load_weights(name)
    model = lite.build(variant, loaded, classify=True)
    counted = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert round(counted / 1e6, 1) == PUBLISHED_PARAMETERS[name]
    used = sum(len(layer.weights) for layer in model.layers)
    assert used == len([key for key in loaded if not key.endswith("num_batches_tracked")])
    logits = logits_of(model, draw_clock(variant.size))
    assert logits.argmax() in {ANALOG_CLOCK, WALL_CLOCK}


def test_features_are_what_the_classifier_sees(lite, weights, classifier):
    features = lite.build(VARIANTS["efficientnet-lite0"], weights)
    picture = draw_scene(5, 224)
    logits = logits_of(features, picture) @ weights["_fc.weight"].T + weights["_fc.bias"]
    np.testing.assert_allclose(logits, logits_of(classifier, picture), atol=1e-3)
