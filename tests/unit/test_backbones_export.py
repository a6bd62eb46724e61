"""Backbone to encoder folder: conversion, quantisation, refusal, and the same in a process apart."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from fixtures.encoders import TINY_DIMENSION, TINY_SIZE, save_tiny_model
from fixtures.pictures import draw_scene

from lookalike.encoders import Encoder, EncoderManifest, Encoders
from lookalike.errors import (
    BackboneNotFound,
    Conflict,
    EncoderRejected,
    Incompatible,
    InvalidInput,
    LookalikeError,
)
from lookalike.images import Preprocess
from lookalike.storage import Store
from lookalike.training.backbones.presets import DEFAULT_BACKBONE
from lookalike.training.child import build_encoder_in_child

pytestmark = [
    # The debugger uses the old interpreter; the converter misses statistics that it then measures itself.
    pytest.mark.filterwarnings(r"ignore:\s*Warning. tf.lite.Interpreter is deprecated"),
    pytest.mark.filterwarnings("ignore:Statistics for quantized inputs"),
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs lookalike[train]"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny-model"
    save_tiny_model(folder)
    return str(folder)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [draw_scene(seed, TINY_SIZE) for seed in range(50)]


def build(*arguments, **options) -> EncoderManifest:
    from lookalike.training.backbones.export import build_encoder

    return build_encoder(*arguments, **options)


def opened(folder, precision=None) -> Encoder:
    manifest = EncoderManifest.read(folder)
    return Encoder(manifest, folder / manifest.precision(precision).file, precision)


def save_reciprocal_model(folder) -> str:
    """Features that 8 bits cannot hold: dark pixels give numbers thousands of times those of light ones."""
    import tensorflow as tf

    class Reciprocal(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.float32)])
        def __call__(self, images):
            pooled = tf.reshape(tf.nn.avg_pool2d(images, 2, 2, "VALID"), (-1, 48))
            return tf.exp(pooled * -20.0) + tf.exp(pooled * 8.0 - 8.0) * 1e-3

    tf.saved_model.save(Reciprocal(), str(folder))
    return str(folder)


def test_the_export_computes_what_the_model_computes(model, pictures, tmp_path):
    from lookalike.training.backbones.load import load_backbone

    manifest = build(model, tmp_path / "encoder")
    assert (manifest.dimension, manifest.preprocess.size) == (TINY_DIMENSION, TINY_SIZE)
    assert manifest.name == "tiny-model"
    expected = np.array(load_backbone(model).features(np.stack(pictures).astype(np.float32)))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(opened(tmp_path / "encoder").encode(pictures), expected, atol=1e-5)


def test_the_length_of_vectors_can_be_kept(model, pictures, tmp_path):
    from lookalike.training.backbones.load import load_backbone

    manifest = build(model, tmp_path / "encoder", normalized=False, calibration=pictures)
    assert not manifest.vector("image").normalized
    assert 0.98 <= manifest.precisions["int8"].mean_cosine_to_fp32 <= 1
    expected = np.asarray(load_backbone(model).features(np.stack(pictures).astype(np.float32)))
    np.testing.assert_allclose(opened(tmp_path / "encoder", "fp32").encode(pictures), expected, atol=1e-5)


def test_without_calibration_only_fp32_is_made_and_said(model, tmp_path):
    manifest = build(model, tmp_path / "encoder")
    assert list(manifest.precisions) == ["fp32"]
    assert sorted(path.name for path in (tmp_path / "encoder").iterdir()) == [
        "encoder.json",
        "encoder.tflite",
    ]


def test_with_calibration_int8_is_made_and_measured(model, pictures, tmp_path):
    lines: list[str] = []
    manifest = build(model, tmp_path / "encoder", calibration=iter(pictures), progress=lines.append)
    assert set(manifest.precisions) == {"fp32", "int8"}
    held_out = pictures[::5]
    fp32, int8 = (opened(tmp_path / "encoder", precision).encode(held_out) for precision in ("fp32", "int8"))
    measured = float(np.mean(np.sum(fp32 * int8, axis=1)))
    assert manifest.precisions["int8"].mean_cosine_to_fp32 == pytest.approx(measured, abs=1e-5)
    assert 0.97 <= measured < 1
    assert manifest.details["calibration_pictures"] == 40
    assert manifest.details["held_out_pictures"] == 10
    assert any("10 other images" in text for text in lines)
    assert EncoderManifest.read(tmp_path / "encoder") == manifest


def test_int8_weights_and_activations_are_integers(model, pictures, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    manifest = build(model, tmp_path / "encoder", calibration=pictures)
    interpreter = Interpreter(str(tmp_path / "encoder" / "encoder.int8.tflite"))
    interpreter.allocate_tensors()
    kinds = [np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()]
    # Float are the input, the output, and what stayed so because 8 bits could not hold it.
    assert kinds.count("float32") <= 2 + 3 * manifest.details["float_layers"]
    assert kinds.count("int8") > 2 * kinds.count("float32")


def test_int8_that_departs_too_far_is_refused_and_fp32_kept(tmp_path):
    model = save_reciprocal_model(tmp_path / "model")
    rows = [
        np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8) // (seed % 9 + 1)
        for seed in range(60)
    ]
    lines: list[str] = []
    manifest = build(model, tmp_path / "encoder", calibration=rows, progress=lines.append, bound=0.999)
    assert list(manifest.precisions) == ["fp32"]
    assert sorted(path.name for path in (tmp_path / "encoder").iterdir()) == [
        "encoder.json",
        "encoder.tflite",
    ]
    assert any("int8 rejected" in text and "0.9990 or more" in text for text in lines)
    with pytest.raises(EncoderRejected, match=r"and 0\.9990 or more is required"):
        build(model, tmp_path / "required", calibration=rows, bound=0.999, require_int8=True)
    assert not (tmp_path / "required").exists()
    encoders = Encoders(Store(str(tmp_path / "artifacts")))
    encoders.add(tmp_path / "encoder")
    assert encoders.load(manifest.id).precision == "fp32"
    with pytest.raises(
        EncoderRejected, match=r"has no int8 file, because its mean cosine to fp32 is 0\.\d{4}, and"
    ):
        encoders.load(manifest.id, "int8")


def save_overflowing_model(folder) -> str:
    """A feature that never fires has a weight of a billion: no int8 kernel can scale its product back."""
    import tensorflow as tf

    kernel = np.random.default_rng(0).standard_normal((96, 16)).astype(np.float32)
    kernel[:, 3] = 0  # else rounding shows, and the layer stays in float32
    kernel[60, 3] = 1e9

    class Overflowing(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.float32)])
        def __call__(self, images):
            pooled = tf.reshape(tf.nn.avg_pool2d(images, 2, 2, "VALID"), (-1, 48))
            return tf.matmul(tf.nn.relu(tf.concat([pooled, -pooled], 1)), tf.constant(kernel))

    tf.saved_model.save(Overflowing(), str(folder))
    return str(folder)


def check_fp32_only(folder, lines, reason):
    manifest = EncoderManifest.read(folder)
    assert list(manifest.precisions) == ["fp32"]
    assert manifest.default_precision == "fp32"
    assert manifest.details["int8_refused"].startswith(reason)
    assert sorted(path.name for path in folder.iterdir()) == ["encoder.json", "encoder.tflite"]
    assert any(text.startswith(f"int8 rejected: {reason}") for text in lines)
    with pytest.raises(EncoderRejected, match="has no int8 file, because it cannot be"):
        manifest.precision("int8")
    assert np.isfinite(opened(folder).encode(np.zeros((1, 8, 8, 3), np.uint8))).all()


def test_int8_that_xnnpack_refuses_leaves_fp32_and_a_note(tmp_path):
    """XNNPACK ends the process that opens such a file, or raises; here neither reaches the export."""
    model = save_overflowing_model(tmp_path / "model")
    rows = [np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8) for seed in range(20)]
    lines: list[str] = []
    build(model, tmp_path / "encoder", calibration=rows, progress=lines.append)
    check_fp32_only(tmp_path / "encoder", lines, "it cannot be run: LiteRT cannot run the int8 model")
    with pytest.raises(EncoderRejected, match="because it cannot be run"):
        build(model, tmp_path / "required", calibration=rows, require_int8=True)
    assert not (tmp_path / "required").exists()


def test_int8_that_cannot_be_made_leaves_fp32_and_a_note(tmp_path, monkeypatch):
    from lookalike.training.backbones import load

    def fail(*_):
        raise Incompatible("LiteRT cannot express the model in int8", got="no such operation")

    monkeypatch.setattr(load, "to_int8", fail)
    model = save_reciprocal_model(tmp_path / "model")
    rows = [np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8) for seed in range(20)]
    lines: list[str] = []
    build(model, tmp_path / "encoder", calibration=rows, progress=lines.append)
    check_fp32_only(tmp_path / "encoder", lines, "it cannot be made: LiteRT cannot express the model in int8")


def test_a_damaged_model_file_is_an_error_and_not_the_end_of_the_process(model, pictures, tmp_path):
    from lookalike.training.backbones.int8_check import encode_in_child

    manifest = build(model, tmp_path / "encoder", calibration=pictures)
    file = tmp_path / "encoder" / "encoder.int8.tflite"
    expected = opened(tmp_path / "encoder", "int8").encode(pictures[:3])
    found = encode_in_child(manifest, tmp_path / "encoder", "int8", pictures[:3])
    np.testing.assert_array_equal(found, expected)
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.raises(Incompatible, match=r"LiteRT cannot run the int8 model; got exit code"):
        encode_in_child(manifest, tmp_path / "encoder", "int8", pictures[:3])


def test_calibration_pictures_may_have_any_size(model, tmp_path):
    pictures = [draw_scene(seed, 60)[: 40 + seed] for seed in range(15)]
    manifest = build(model, tmp_path / "encoder", calibration=pictures)
    assert manifest.details["calibration_pictures"] == 12


@pytest.mark.parametrize("picture", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3), np.float32)])
def test_a_calibration_picture_of_another_kind_is_refused(model, picture, tmp_path):
    with pytest.raises(InvalidInput, match=r"expected uint8 \(height, width, 3\)"):
        build(model, tmp_path / "encoder", calibration=[picture] * 20)
    assert list(tmp_path.iterdir()) == []


def test_too_few_calibration_pictures_are_refused(model, pictures, tmp_path):
    with pytest.raises(InvalidInput, match="got 3; expected 10 or more"):
        build(model, tmp_path / "encoder", calibration=pictures[:3])


def test_the_same_model_gives_the_same_id(model, pictures, tmp_path):
    ids = {build(model, tmp_path / str(turn), calibration=pictures).id for turn in range(2)}
    assert len(ids) == 1


def test_a_folder_that_holds_something_is_left_alone(model, tmp_path):
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match="immutable"):
        build(model, tmp_path / "encoder")
    assert [path.name for path in (tmp_path / "encoder").iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_used(model, tmp_path):
    (tmp_path / "encoder").mkdir()
    assert build(model, tmp_path / "encoder", name="mine").name == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]


@pytest.mark.parametrize("name", ["Shoes", "", "../up", "a b", "x" * 64])
def test_a_name_that_cannot_be_an_id_is_refused(model, tmp_path, name):
    with pytest.raises(InvalidInput, match="cannot be an encoder's name"):
        build(model, tmp_path / "encoder", name=name)


def test_preprocessing_can_be_chosen_and_must_fit(model, tmp_path):
    squashed = Preprocess(size=TINY_SIZE, fit="squash")
    assert build(model, tmp_path / "encoder", preprocess=squashed).preprocess == squashed
    with pytest.raises(InvalidInput, match=f"got {TINY_SIZE} px; expected 40 px"):
        build(DEFAULT_BACKBONE, tmp_path / "both", size=40, preprocess=squashed)
    with pytest.raises(Incompatible, match="64 × 64"):
        build(model, tmp_path / "other", preprocess=Preprocess(size=64))


def test_a_child_process_builds_the_same_encoder_silently(model, pictures, tmp_path, capfd):
    here = build(model, tmp_path / "here", calibration=pictures)
    capfd.readouterr()
    lines: list[str] = []
    preprocess = Preprocess(size=TINY_SIZE)
    there = build_encoder_in_child(
        model, tmp_path / "there", calibration=pictures, preprocess=preprocess, progress=lines.append
    )
    assert capfd.readouterr() == ("", "")
    assert there.id == here.id
    assert EncoderManifest.read(tmp_path / "there") == there
    assert lines[0].startswith("loading")
    assert lines[-1] == f"made {here.id}"


def test_errors_of_a_child_process_arrive_whole(tmp_path):
    with pytest.raises(BackboneNotFound, match=r"'nothing'.*Presets:") as caught:
        build_encoder_in_child("nothing", tmp_path / "encoder")
    assert caught.value.got == "'nothing'"
    assert caught.value.expected


def test_without_tensorflow_it_says_what_to_install(tmp_path):
    """In a Python that has this library and numpy, and nothing else."""
    import subprocess

    import lookalike

    for package in (Path(lookalike.__file__).parent, Path(np.__file__).parent):
        (tmp_path / package.name).symlink_to(package)
        if (libraries := package.with_name(f"{package.name}.libs")).is_dir():
            (tmp_path / libraries.name).symlink_to(libraries)
    script = """if True:
        from pathlib import Path
        from lookalike.errors import Incompatible
        from lookalike.training.child import build_encoder_in_child
        try:
            build_encoder_in_child("resnet_v2_101", Path("encoder"))
        except Incompatible as error:
            print(error)
    """
    command = [sys.executable, "-S", "-c", script]
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "lookalike[train]" in done.stdout


def test_a_child_process_that_dies_says_what_it_wrote(model, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('no room for TensorFlow')\n")
    with pytest.raises(LookalikeError, match="died; got no room for TensorFlow"):
        build_encoder_in_child(model, tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()


def test_the_default_encoder_agrees_with_its_network(default_encoder_folder):
    from lookalike.training.backbones.load import load_backbone

    pictures = [draw_scene(seed, 224) for seed in range(500, 508)]
    expected = np.array(load_backbone(DEFAULT_BACKBONE).features(np.stack(pictures).astype(np.float32)))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    fp32 = opened(default_encoder_folder, "fp32").encode(pictures)
    assert fp32.shape == (8, 1280)
    np.testing.assert_allclose(np.sum(fp32 * expected, axis=1), 1, atol=1e-5)


def test_the_default_encoder_has_an_int8_file_within_the_bound(default_encoder_folder):
    manifest = EncoderManifest.read(default_encoder_folder)
    pictures = [draw_scene(seed, 224) for seed in range(500, 520)]
    fp32, int8 = (
        opened(default_encoder_folder, precision).encode(pictures) for precision in ("fp32", "int8")
    )
    assert manifest.precisions["int8"].mean_cosine_to_fp32 >= 0.995
    assert np.mean(np.sum(fp32 * int8, axis=1)) >= 0.97
    assert manifest.default_precision == "int8"  # on both sides, so a picture is at distance 0 from itself
    assert manifest.precisions["int8"].size_bytes < manifest.precisions["fp32"].size_bytes / 2


def test_the_default_encoder_knows_a_picture_again(default_encoder):
    """The same scene, softened by a smaller copy, is nearer than any other scene."""
    from PIL import Image

    originals = [draw_scene(seed, 224) for seed in range(600, 612)]
    copies = [np.asarray(Image.fromarray(scene).resize((120, 120)).resize((224, 224))) for scene in originals]
    similarities = default_encoder.encode(copies) @ default_encoder.encode(originals).T
    assert list(similarities.argmax(1)) == list(range(12))


def test_the_parent_of_a_child_process_stays_light():
    import subprocess

    script = "import sys, lookalike.training.child; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
