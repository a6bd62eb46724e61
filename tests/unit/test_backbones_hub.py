"""Loading backbones through `hub.load`: real SavedModels in folders and over HTTP, and what can go wrong."""

from __future__ import annotations

import gc
import importlib.util
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from lookalike.errors import BackboneNotFound, Incompatible
from lookalike.training.backbones.presets import PACKAGED, PRESETS

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs lookalike[train]"),
]
SIDE = 16


def mean_colour(images):
    import tensorflow as tf

    return tf.reduce_mean(images, (1, 2))


def save(folder, function, *, side=SIDE, signature=None, output="default", training=False):
    """Export a SavedModel that can be called (TF2 style), or that has one signature only (TF1 Hub style)."""
    import tensorflow as tf

    spec = tf.TensorSpec((None, side, side, 3), tf.float32, name="images")
    module = tf.Module()
    module.scale = tf.Variable(1.0)  # as in real models, the function needs a variable of the module
    if training:

        @tf.function
        def call(images, training=False):
            return function(images) * module.scale + (100.0 if training else 0.0)

        for mode in (True, False):
            call.get_concrete_function(spec, training=mode)
    else:

        @tf.function(input_signature=[spec])
        def call(images):
            result = function(images)
            return result if isinstance(result, dict) else result * tf.cast(module.scale, result.dtype)

    if signature is None:
        module.__call__ = call
        tf.saved_model.save(module, str(folder))
    else:

        @tf.function(input_signature=[spec])
        def named(images):
            result = call(images)
            return result if isinstance(result, dict) else {output: result}

        module.function = named
        tf.saved_model.save(module, str(folder), signatures={signature: named})
    return str(folder)


def load(backbone, **options):
    from lookalike.training.backbones.load import load_backbone

    return load_backbone(backbone, **options)


def features_of(backbone, pixels):
    return np.asarray(backbone.features(np.asarray(pixels, np.float32)))


def a_picture(side=SIDE):
    return np.random.default_rng(0).integers(0, 256, (1, side, side, 3)).astype(np.float32)


def test_a_callable_saved_model_is_loaded_with_its_own_size(tmp_path):
    backbone = load(save(tmp_path / "My Model_v1", mean_colour))
    assert (backbone.size, backbone.dimension) == (SIDE, 3)
    assert backbone.name == "my-model-v1"
    assert backbone.source == "SavedModel My Model_v1"
    assert backbone.preprocess.size == SIDE
    picture = a_picture()
    np.testing.assert_allclose(features_of(backbone, picture), picture.mean((1, 2)) / 255, rtol=1e-5)


@pytest.mark.parametrize("signature", ["image_feature_vector", "default", "serving_default"])
def test_a_model_with_only_a_signature_is_loaded(tmp_path, signature):
    backbone = load(save(tmp_path / "model", mean_colour, signature=signature))
    gc.collect()  # the loaded object must be kept, or its variables are gone now
    picture = a_picture()
    np.testing.assert_allclose(features_of(backbone, picture), picture.mean((1, 2)) / 255, rtol=1e-5)
    assert backbone.size == SIDE


def test_a_single_output_of_any_name_will_do(tmp_path):
    backbone = load(save(tmp_path / "model", mean_colour, signature="serving_default", output="pooled"))
    assert backbone.dimension == 3


def test_the_default_output_is_taken_among_several(tmp_path):
    def several(images):
        return {"default": mean_colour(images), "block1": images}

    assert load(save(tmp_path / "model", several, signature="default")).dimension == 3
    assert load(save(tmp_path / "called", several)).dimension == 3


def test_a_model_is_called_in_inference_mode(tmp_path):
    backbone = load(save(tmp_path / "model", mean_colour, training=True))
    assert features_of(backbone, np.zeros((1, SIDE, SIDE, 3))).max() == 0
    assert backbone.size == SIDE


def test_the_pixel_range_is_applied(tmp_path):
    folder = save(tmp_path / "model", mean_colour)
    black, white = np.zeros((1, SIDE, SIDE, 3)), np.full((1, SIDE, SIDE, 3), 255)
    for low, high in ((0, 1), (-1, 1), (0, 255)):
        backbone = load(folder, pixel_range=(low, high))
        np.testing.assert_allclose(features_of(backbone, black), low, atol=1e-6)
        np.testing.assert_allclose(features_of(backbone, white), high, rtol=1e-6)


def test_a_size_can_be_chosen_where_the_model_leaves_it_open(tmp_path):
    folder = save(tmp_path / "model", mean_colour, side=None)
    assert load(folder).size == 224
    assert load(folder, size=40).size == 40


def test_the_packaged_networks_take_any_size():
    backbone = load("efficientnet-lite0", size=64)
    assert (backbone.size, backbone.dimension) == (64, 1280)
    assert features_of(backbone, a_picture(64)).shape == (1, 1280)


def test_a_size_that_the_model_cannot_take_is_refused_with_it(tmp_path):
    with pytest.raises(Incompatible, match="does not accept images of 40 × 40"):
        load(save(tmp_path / "model", mean_colour), size=40)


def feature_map(images):
    return images[:, ::4, ::4, :]


def whole_numbers(images):
    import tensorflow as tf

    return tf.cast(mean_colour(images), tf.int32)


def one_number(images):
    return mean_colour(images)[:, 0]


def batch_lost(images):
    import tensorflow as tf

    return tf.reshape(images, (-1, 3))


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (feature_map, r"float32 \(1, 4, 4, 3\)"),
        (whole_numbers, r"int32 \(1, 3\)"),
        (one_number, r"float32 \(1,\)"),
        (batch_lost, r"float32 \(256, 3\)"),
    ],
)
def test_what_is_not_one_vector_a_picture_is_refused_with_its_shape(tmp_path, function, shape):
    with pytest.raises(Incompatible, match=shape + r".*expected float32 \(1, dimension\)"):
        load(save(tmp_path / "model", function))


def test_several_outputs_without_a_default_are_refused_with_their_shapes(tmp_path):
    def several(images):
        return {"pooled": mean_colour(images), "map": images}

    with pytest.raises(Incompatible, match=r"several outputs.*map \(.*pooled \(.*'default'"):
        load(save(tmp_path / "model", several, signature="default"))


def test_a_model_without_a_known_signature_is_refused_with_what_it_has(tmp_path):
    with pytest.raises(Incompatible, match=r"embed_text.*image_feature_vector"):
        load(save(tmp_path / "model", mean_colour, signature="embed_text"))


def test_an_unknown_name_lists_the_presets():
    with pytest.raises(BackboneNotFound, match=r"'mobilenet'.*mobilenet_v2_140_224"):
        load("mobilenet")


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(BackboneNotFound, match=r"has no SavedModel.*saved_model\.pb"):
        load(str(tmp_path))


def test_a_handle_that_cannot_be_downloaded_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    with pytest.raises(
        BackboneNotFound, match=r"got http://127\.0\.0\.1:9/model/1 .*Download.*pass its folder"
    ):
        load("http://127.0.0.1:9/model/1")


def test_a_preset_that_cannot_be_downloaded_names_its_handle(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(BackboneNotFound, match=r"tfhub\.dev/google/bit/m-r50x1/1.*pass its folder"):
        load("bit_m_r50x1")


def test_a_handle_is_downloaded_and_loaded(tmp_path, monkeypatch):
    """The whole way of a TF-Hub handle, from a server of our own."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    save(tmp_path / "model", mean_colour)
    with tarfile.open(tmp_path / "served.tar.gz", "w:gz") as archive:
        for path in sorted((tmp_path / "model").rglob("*")):
            archive.add(path, path.relative_to(tmp_path / "model"))
    data = (tmp_path / "served.tar.gz").read_bytes()

    class Hub(SimpleHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments):
            """Keep test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        handle = f"http://127.0.0.1:{server.server_port}/google/imagenet/tiny_model/feature_vector/5"
        backbone = load(handle)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (backbone.name, backbone.source) == ("tiny-model", handle)
    picture = a_picture()
    np.testing.assert_allclose(features_of(backbone, picture), picture.mean((1, 2)) / 255, rtol=1e-5)


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_are_complete(name):
    preset = PRESETS[name]
    assert preset.handle.startswith("https://tfhub.dev/google/")
    assert preset.handle.rsplit("/", 1)[1].isdigit()  # a handle without its version would change under us
    assert 224 <= preset.size <= 512
    assert preset.dimension >= 1024
    assert preset.pixel_range == (0.0, 1.0)


def test_the_backbones_that_people_compare_have_presets():
    wanted = {"mobilenet_v2_140_224", "inception_v2", "resnet_v2_101", "nasnet_mobile"}
    wanted |= {"bit_m_r50x1", "bit_m_r50x3", "bit_m_r101x1", "efficientnetv2_s_21k"}
    assert wanted <= set(PRESETS)
    assert not set(PACKAGED) & set(PRESETS)
