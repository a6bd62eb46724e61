"""The cache of features: what is put is read, and a rerun computes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures.classes import write_classes
from fixtures.encoders import save_tiny_model

from lookalike.errors import Incompatible, StoreUnavailable
from lookalike.images import ImageLimits, model_input, read_image
from lookalike.settings import Settings
from lookalike.training.backbones.load import Backbone, load_backbone
from lookalike.training.fit.feature_cache import ActivationCache, PictureFacts
from lookalike.training.fit.features import Extractor, cache_folder, read_features

LIMITS = ImageLimits.from_settings(Settings())
A, B = bytes(32), bytes([1]) * 32


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_tiny_model(folder)
    return load_backbone(str(folder))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    write_classes(tmp_path / "photos", 3)
    return sorted((tmp_path / "photos").rglob("*.png"))


def ignore(_done: int, _total: int) -> None:
    """Nobody listens."""


def test_what_is_put_is_read(tmp_path: Path) -> None:
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    with ActivationCache(tmp_path) as cache:
        cache.put({A: PictureFacts(bytes(range(32)))}, {("features", A, 1): value})
        assert cache.missing(A, "features", 3) == [0, 2]
        assert cache.missing(A, "activations", 2) == [0, 1]
        assert cache.facts([A, B]) == {A: PictureFacts(bytes(range(32)))}
    with ActivationCache(tmp_path) as again:
        np.testing.assert_array_equal(again.read("features", [(A, 1)], (2, 3))[0], value)
        with pytest.raises(KeyError):
            again.read("features", [(B, 1)], (2, 3))


def test_a_file_that_is_no_cache_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"not a database" * 1_000)
    with pytest.raises(StoreUnavailable, match="Remove the folder"):
        ActivationCache(tmp_path)


def test_a_rerun_computes_nothing_and_more_views_only_the_new_ones(
    backbone: Backbone, files: list[Path], tmp_path: Path
) -> None:
    with ActivationCache(cache_folder(tmp_path / "cache", backbone)) as cache:
        first = Extractor(backbone, cache, activations=False).extract(files, 2, LIMITS, ignore)
        again = Extractor(backbone, cache, activations=False).extract(files, 2, LIMITS, ignore)
        more = Extractor(backbone, cache, activations=False).extract(files, 5, LIMITS, ignore)
        assert (first.computed, again.computed, more.computed) == (2 * len(files), 0, 3 * len(files))
        assert again.digests == first.digests
        np.testing.assert_array_equal(again.hashes, first.hashes)


def test_features_are_those_of_the_backbone(backbone: Backbone, files: list[Path], tmp_path: Path) -> None:
    with ActivationCache(cache_folder(tmp_path / "cache", backbone)) as cache:
        found = Extractor(backbone, cache, activations=False).extract(files, 1, LIMITS, ignore)
        values = read_features(cache, found.digests, 1, backbone.dimension)[:, 0]
    for file, value in zip(files, values, strict=True):
        pixels = read_image(file.read_bytes(), LIMITS, backbone.preprocess)[1]
        expected = backbone.features(pixels[None].astype(np.float32)).numpy()[0]
        np.testing.assert_allclose(value, expected, atol=5e-3)


def test_what_cannot_be_decoded_is_rejected_once_and_for_all(
    backbone: Backbone, files: list[Path], tmp_path: Path
) -> None:
    broken, gone = tmp_path / "broken.png", tmp_path / "gone.png"
    broken.write_bytes(files[0].read_bytes()[:100])
    with ActivationCache(cache_folder(tmp_path / "cache", backbone)) as cache:
        extractor = Extractor(backbone, cache, activations=False)
        for _ in range(2):
            found = extractor.extract([files[0], broken, gone], 1, LIMITS, ignore)
            assert sorted(found.rejected) == [1, 2]


def test_two_backbones_have_two_caches(backbone: Backbone, tmp_path: Path) -> None:
    other = load_backbone("efficientnet-lite0")
    assert cache_folder(tmp_path, backbone) != cache_folder(tmp_path, other)
    smaller = load_backbone("efficientnet-lite0", size=96)
    assert cache_folder(tmp_path, smaller) != cache_folder(tmp_path, other)


def test_only_packaged_backbones_can_be_cut(backbone: Backbone, tmp_path: Path) -> None:
    with ActivationCache(tmp_path) as cache, pytest.raises(Incompatible, match="last-stages"):
        Extractor(backbone, cache, activations=True)


def test_activations_lead_to_the_same_features(files: list[Path], tmp_path: Path) -> None:
    from lookalike.training.backbones.efficientnet_lite import VARIANTS
    from lookalike.training.fit.last_stages import Tail

    whole = load_backbone("efficientnet-lite0", size=96)
    with ActivationCache(cache_folder(tmp_path / "cache", whole)) as cache:
        found = Extractor(whole, cache, activations=True).extract(files[:3], 2, LIMITS, ignore)
        tail = Tail(whole.keras_model(), VARIANTS["efficientnet-lite0"])
        activations = cache.read("activations", [(digest, 1) for digest in found.digests], tail.shape)
        features = read_features(cache, found.digests, 2, whole.dimension)[:, 1]
    np.testing.assert_allclose(tail(activations.astype(np.float32)).numpy(), features, atol=0.05)
    picture = read_image(files[0].read_bytes(), LIMITS, whole.preprocess)[0]
    assert model_input(picture, whole.preprocess).shape == (96, 96, 3)
