"""Pixels to vectors with LiteRT, on real model files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.pictures import draw_scene

from lookalike.encoders import Encoder, EncoderManifest, VectorSpec
from lookalike.encoders.runtime import unit_length
from lookalike.errors import Incompatible, InvalidInput
from lookalike.images import Preprocess

COLOURS = {"red": (200, 30, 30), "dark red": (150, 20, 25), "blue": (25, 40, 210)}


def scenes(encoder: Encoder, count: int) -> list[np.ndarray]:
    return [draw_scene(seed, encoder.manifest.preprocess.size) for seed in range(count)]


def test_vectors_have_the_promised_shape_dtype_and_length(tiny_encoder):
    vectors = tiny_encoder.encode(scenes(tiny_encoder, 5))
    assert vectors.shape == (5, tiny_encoder.manifest.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_no_pictures_give_no_vectors(tiny_encoder):
    assert tiny_encoder.encode([]).shape == (0, tiny_encoder.manifest.dimension)


def test_one_a_list_and_an_array_give_the_same_vectors(tiny_encoder):
    pictures = scenes(tiny_encoder, 3)
    vectors = tiny_encoder.encode(pictures)
    np.testing.assert_array_equal(tiny_encoder.encode(np.stack(pictures)), vectors)
    np.testing.assert_array_equal(tiny_encoder.encode_one(pictures[1]), vectors[1])


def test_like_colours_are_near(tiny_encoder):
    size = tiny_encoder.manifest.preprocess.size
    flat = {name: np.full((size, size, 3), colour, np.uint8) for name, colour in COLOURS.items()}
    red, dark_red, blue = tiny_encoder.encode(list(flat.values()))
    assert red @ dark_red > red @ blue


def test_threads_get_the_vectors_that_one_thread_gets(tiny_encoder_folder):
    manifest = EncoderManifest.read(tiny_encoder_folder)
    encoder = Encoder(manifest, tiny_encoder_folder / "encoder.tflite", "fp32", parallel=3)
    pictures = scenes(encoder, 40)
    expected = encoder.encode(pictures)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            np.testing.assert_array_equal(list(pool.map(encoder.encode_one, pictures)), expected)
    assert 1 <= len(encoder._idle) <= 3  # never more interpreters than calls side by side


def test_int8_is_near_fp32(tiny_encoder_folder):
    manifest = EncoderManifest.read(tiny_encoder_folder)
    fp32, int8 = (
        Encoder(manifest, tiny_encoder_folder / manifest.precisions[precision].file, precision)
        for precision in ("fp32", "int8")
    )
    pictures = [draw_scene(seed, 32) for seed in range(1_000, 1_020)]
    cosines = np.sum(fp32.encode(pictures) * int8.encode(pictures), axis=1)
    assert cosines.mean() > 0.99
    assert (fp32.precision, int8.precision) == ("fp32", "int8")


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((32, 31, 3), np.uint8),
        np.zeros((32, 32), np.uint8),
        np.zeros((32, 32, 4), np.uint8),
        np.zeros((1, 32, 32, 3), np.uint8),
        np.zeros((32, 32, 3), np.float32),
    ],
)
def test_another_shape_or_dtype_is_refused_with_both(tiny_encoder, picture):
    with pytest.raises(InvalidInput, match=r"got .*\(.*expected uint8 \(32, 32, 3\).*model_input"):
        tiny_encoder.encode([picture])


def test_an_encoder_still_works_after_a_refusal(tiny_encoder):
    picture = scenes(tiny_encoder, 1)[0]
    before = tiny_encoder.encode_one(picture)
    with pytest.raises(InvalidInput):
        tiny_encoder.encode([picture, picture[:5]])
    np.testing.assert_array_equal(tiny_encoder.encode_one(picture), before)


def test_an_absent_or_shortened_file_is_refused_with_both_sizes(tiny_encoder_folder, tmp_path):
    manifest = EncoderManifest.read(tiny_encoder_folder)
    with pytest.raises(Incompatible, match="no file"):
        Encoder(manifest, tmp_path / "encoder.tflite")
    data = (tiny_encoder_folder / "encoder.tflite").read_bytes()
    (tmp_path / "encoder.tflite").write_bytes(data[:-9])
    with pytest.raises(Incompatible, match=f"{len(data) - 9} bytes; expected {len(data)} bytes"):
        Encoder(manifest, tmp_path / "encoder.tflite", "fp32")


def test_a_file_that_is_no_model_is_refused(tiny_encoder_folder, tmp_path):
    manifest = EncoderManifest.read(tiny_encoder_folder)
    path = tmp_path / "encoder.tflite"
    path.write_bytes(b"\0" * manifest.precisions["fp32"].size_bytes)
    with pytest.raises(Incompatible, match="LiteRT cannot run"):
        Encoder(manifest, path, "fp32")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preprocess": Preprocess(size=64)}, r"\(32, 32, 3\).*expected input \(64, 64, 3\)"),
        ({"vectors": (VectorSpec("image", 17),)}, r"output \(16,\).*output \(17,\)"),
    ],
)
def test_a_model_of_other_shapes_is_refused_with_both(tiny_encoder_folder, changes, message):
    manifest = replace(EncoderManifest.read(tiny_encoder_folder), **changes)
    with pytest.raises(Incompatible, match=message):
        Encoder(manifest, tiny_encoder_folder / "encoder.tflite", "fp32")


def test_a_vector_of_zeros_stays_finite():
    vectors = unit_length(np.array([[0, 0], [3, 4]], np.float32))
    np.testing.assert_allclose(vectors, [[0, 0], [0.6, 0.8]], rtol=1e-6)


def test_a_process_that_encodes_imports_no_tensorflow(tiny_encoder_folder, tmp_path):
    """The whole of the encoders package and a model in use, with `training` out of reach."""
    library = Path(sys.modules["lookalike"].__file__).parent
    shutil.copytree(library, tmp_path / "lookalike", ignore=shutil.ignore_patterns("training", "__pycache__"))
    script = """if True:
        import sys, numpy
        from pathlib import Path
        from lookalike.encoders import Encoder, EncoderManifest
        folder = Path(sys.argv[1])
        manifest = EncoderManifest.read(folder)
        encoder = Encoder(manifest, folder / manifest.precision(None).file)
        encoder.encode_one(numpy.zeros((32, 32, 3), numpy.uint8))
        heavy = {"tensorflow", "keras", "pyarrow", "lance", "fastapi"} & set(sys.modules)
        assert not heavy, heavy
    """
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_encoder_folder)],
        check=True,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
    )
    assert (done.stdout, done.stderr) == (b"", b"")  # a library must not write on its user's terminal
