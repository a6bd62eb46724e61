"""Encoders by id, over a folder and over S3."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.encoders import EncoderManifest, Encoders
from lookalike.encoders.manifest import content_id
from lookalike.errors import Damaged, EncoderNotFound, Incompatible
from lookalike.storage import Store


@pytest.fixture(scope="module")
def s3_endpoint():
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys).create_bucket(Bucket="encoders-test")
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def artifacts(request, tmp_path, monkeypatch) -> Store:
    if request.param == "folder":
        return Store(str(tmp_path / "artifacts"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    endpoint = request.getfixturevalue("s3_endpoint")
    return Store(f"s3://encoders-test/{tmp_path.name}", s3_endpoint=endpoint)


@pytest.fixture
def encoders(artifacts, tmp_path) -> Encoders:
    return Encoders(artifacts, tmp_path / "cache")


def variant_of(folder: Path, target: Path, **changes) -> Path:
    """A copy of an encoder under another name or content, and so under another id."""
    shutil.copytree(folder, target)
    manifest = replace(EncoderManifest.read(folder), **changes)
    (target / "encoder.json").write_bytes(replace(manifest, id=content_id(manifest)).dump())
    return target


def test_an_added_encoder_is_found_and_runs(encoders, tiny_encoder_folder, tiny_encoder):
    added = encoders.add(tiny_encoder_folder)
    assert encoders.list() == [added]
    assert encoders.get(added.id) == added
    picture = np.full((32, 32, 3), 99, np.uint8)
    for precision in ("fp32", "int8", None):
        encoder = encoders.load(added.id, precision)
        assert encoder.precision == precision or precision is None
        assert encoder.encode_one(picture) @ tiny_encoder.encode_one(picture) > 0.98


def test_adding_twice_changes_nothing(encoders, artifacts, tiny_encoder_folder):
    first = encoders.add(tiny_encoder_folder)
    before = {info.path: info.size for info in artifacts.list()}
    assert encoders.add(tiny_encoder_folder) == first
    assert {info.path: info.size for info in artifacts.list()} == before
    assert len(before) == 3


def test_an_empty_store_says_what_to_do(encoders):
    assert encoders.list() == []
    with pytest.raises(EncoderNotFound, match=r"no encoders yet.*encoders build"):
        encoders.get("tiny")


def test_a_name_or_the_beginning_of_an_id_is_enough(encoders, tiny_encoder_folder, tmp_path):
    tiny = encoders.add(tiny_encoder_folder)
    # A longer name must not make the shorter one ambiguous.
    longer = encoders.add(variant_of(tiny_encoder_folder, tmp_path / "longer", name="tiny-more"))
    assert encoders.get("tiny") == tiny
    assert encoders.get(tiny.id[:9]) == tiny
    assert encoders.get("tiny-m") == longer
    assert [manifest.id for manifest in encoders.list()] == sorted([tiny.id, longer.id])


def test_an_ambiguous_name_lists_the_candidates(encoders, tiny_encoder_folder, tmp_path):
    first = encoders.add(tiny_encoder_folder)
    other_default = variant_of(tiny_encoder_folder, tmp_path / "other", vectors=first.vectors[::-1] * 2)
    second = encoders.add(other_default)
    with pytest.raises(EncoderNotFound, match="more than one") as caught:
        encoders.get("tiny")
    assert first.id in str(caught.value)
    assert second.id in str(caught.value)


@pytest.mark.parametrize("wanted", ["tinny", "tiny-000000000000", "", "../secrets", "a/b", "x" * 300])
def test_an_unknown_id_names_the_nearest(encoders, tiny_encoder_folder, wanted):
    known = encoders.add(tiny_encoder_folder)
    with pytest.raises(EncoderNotFound, match=f"Nearest: {known.id}"):
        encoders.get(wanted)


def test_an_incomplete_encoder_is_not_listed(encoders, artifacts, tiny_encoder_folder):
    """An upload that was cut off before its manifest, which comes last."""
    artifacts.put("encoders/half-0123456789ab/encoder.tflite", b"half")
    known = encoders.add(tiny_encoder_folder)
    assert encoders.list() == [known]
    with pytest.raises(EncoderNotFound):
        encoders.get("half-0123456789ab")


def test_a_folder_whose_model_was_changed_is_not_added(encoders, tiny_encoder_folder, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(tiny_encoder_folder, changed)
    data = bytearray((changed / "encoder.int8.tflite").read_bytes())
    data[len(data) // 2] ^= 1
    (changed / "encoder.int8.tflite").write_bytes(data)
    with pytest.raises(Incompatible, match=r"encoder\.int8\.tflite is not the file"):
        encoders.add(changed)
    (changed / "encoder.int8.tflite").unlink()
    with pytest.raises(Incompatible, match="no file"):
        encoders.add(changed)
    assert encoders.list() == []


def test_a_stored_manifest_that_was_changed_is_refused(encoders, artifacts, tiny_encoder_folder):
    known = encoders.add(tiny_encoder_folder)
    path = f"encoders/{known.id}/encoder.json"
    value = json.loads(artifacts.get(path).data)
    value["preprocess"]["size"] = 64
    artifacts.put(path, json.dumps(value).encode())
    with pytest.raises(Incompatible, match="was changed"):
        encoders.load(known.id)


def test_a_damaged_model_file_is_refused_in_a_folder_and_downloaded_again_from_s3(
    encoders, artifacts, tiny_encoder_folder, tmp_path
):
    known = encoders.add(tiny_encoder_folder)
    fresh = Encoders(artifacts, tmp_path / "cache")
    first = fresh.load(known.id)
    file = known.precision(None).file
    path = (
        artifacts.local_path(f"encoders/{known.id}/{file}") or tmp_path / "cache/encoders" / known.id / file
    )
    assert path.is_file()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.unlink()
    path.write_bytes(data)
    again = Encoders(artifacts, tmp_path / "cache")
    if artifacts.folder is None:
        pixels = np.zeros((1, 32, 32, 3), np.uint8)
        assert np.array_equal(again.load(known.id).encode(pixels), first.encode(pixels))
    else:
        with pytest.raises(Damaged, match="Restore"):
            again.load(known.id)


def test_a_damaged_manifest_is_left_out_of_the_list(encoders, artifacts, tiny_encoder_folder):
    known = encoders.add(tiny_encoder_folder)
    artifacts.put("encoders/other-0123456789ab/encoder.json", b"{")
    assert encoders.list() == [known]
    with pytest.raises(Damaged):
        encoders.get("other-0123456789ab")
    with pytest.raises(Damaged):
        encoders.default()


def test_callers_share_a_loaded_encoder(encoders, tiny_encoder_folder):
    known = encoders.add(tiny_encoder_folder)
    first = encoders.load(known.id)
    assert encoders.load("tiny") is first
    assert encoders.load(known.id, "int8") is not encoders.load(known.id, "fp32")


def test_a_folder_store_is_read_in_place(tiny_encoder_folder, tmp_path):
    encoders = Encoders(Store(str(tmp_path / "artifacts")), tmp_path / "cache")
    encoders.load(encoders.add(tiny_encoder_folder).id)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("artifacts", ["s3"], indirect=True)
class TestDownloads:
    def test_a_model_is_downloaded_once(self, artifacts, tiny_encoder_folder, tmp_path):
        known = Encoders(artifacts, tmp_path / "cache").add(tiny_encoder_folder)
        Encoders(artifacts, tmp_path / "cache").load(known.id, "fp32")
        artifacts.delete(f"encoders/{known.id}/encoder.tflite")
        Encoders(artifacts, tmp_path / "cache").load(known.id, "fp32")
        files = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
        assert files == ["encoder.tflite"]

    def test_a_model_that_was_changed_on_the_way_is_not_kept(self, artifacts, tiny_encoder_folder, tmp_path):
        encoders = Encoders(artifacts, tmp_path / "cache")
        known = encoders.add(tiny_encoder_folder)
        size = known.precisions["fp32"].size_bytes
        artifacts.put(f"encoders/{known.id}/encoder.tflite", b"\1" * size)
        with pytest.raises(Incompatible, match="is not the file"):
            encoders.load(known.id, "fp32")
        assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]

    def test_a_model_that_is_gone_is_named(self, artifacts, tiny_encoder_folder, tmp_path):
        encoders = Encoders(artifacts, tmp_path / "cache")
        known = encoders.add(tiny_encoder_folder)
        artifacts.delete(f"encoders/{known.id}/encoder.tflite")
        with pytest.raises(Incompatible, match=r"incomplete.*encoder\.tflite"):
            encoders.load(known.id, "fp32")

    def test_without_a_cache_a_temporary_folder_serves(self, artifacts, tiny_encoder_folder):
        encoders = Encoders(artifacts)
        encoder = encoders.load(encoders.add(tiny_encoder_folder).id)
        assert encoder.encode([]).shape == (0, 16)
