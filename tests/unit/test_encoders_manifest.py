"""The encoder's identity card."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lookalike.encoders import EncoderManifest, PrecisionInfo, VectorSpec
from lookalike.encoders.manifest import content_id
from lookalike.errors import EncoderNotFound, EncoderRejected, Incompatible
from lookalike.images import Preprocess


def a_manifest(**changes) -> EncoderManifest:
    manifest = EncoderManifest(
        id="",
        name="shoes",
        backbone="efficientnet-lite0",
        preprocess=Preprocess(size=224),
        vectors=(VectorSpec("image", 1280), VectorSpec("text", 256)),
        precisions={"fp32": PrecisionInfo("encoder.tflite", "ab" * 32, 13_000_000)},
        default_precision="fp32",
        created_at="2026-01-02T03:04:05+00:00",
        details={"tensorflow": "2.21.0"},
    )
    manifest = replace(manifest, **changes)
    return replace(manifest, id=content_id(manifest))


def test_it_survives_being_written_and_read():
    manifest = a_manifest()
    assert EncoderManifest.parse(manifest.dump()) == manifest
    assert manifest.dimension == 1280
    assert manifest.vector("text").dimension == 256


def test_its_id_is_its_name_and_a_hash():
    name, _, digits = a_manifest().id.rpartition("-")
    assert name == "shoes"
    assert len(digits) == 12
    assert int(digits, 16) >= 0


@pytest.mark.parametrize(
    "changes",
    [
        {"preprocess": Preprocess(size=224, crop_fraction=0.5)},
        {"vectors": (VectorSpec("image", 1280, normalized=False),)},
        {"precisions": {"fp32": PrecisionInfo("encoder.tflite", "cd" * 32, 13_000_000)}},
    ],
)
def test_what_changes_vectors_changes_the_id(changes):
    assert a_manifest(**changes).id != a_manifest().id


@pytest.mark.parametrize(
    "changes", [{"created_at": "2027-01-01"}, {"details": {}}, {"backbone": "elsewhere"}]
)
def test_what_changes_no_vector_keeps_the_id(changes):
    assert a_manifest(**changes).id == a_manifest().id


def test_a_changed_manifest_is_refused_with_both_ids():
    value = a_manifest().to_json()
    value["preprocess"]["size"] = 192
    with pytest.raises(Incompatible, match=r"got shoes-\w{12}; expected shoes-\w{12}.*immutable"):
        EncoderManifest.from_json(value)


def test_another_format_is_refused_with_both_numbers():
    with pytest.raises(Incompatible, match="got 2; expected 1"):
        EncoderManifest.from_json({**a_manifest().to_json(), "format": 2})


@pytest.mark.parametrize("field", ["id", "preprocess", "vectors", "precisions", "default_precision"])
def test_a_missing_field_is_named(field):
    value = a_manifest().to_json()
    del value[field]
    with pytest.raises(Incompatible, match=field):
        EncoderManifest.from_json(value)


def test_a_model_file_outside_the_folder_is_refused():
    value = a_manifest().to_json()
    value["precisions"]["fp32"]["file"] = "../../encoder.tflite"
    with pytest.raises(Incompatible, match=r"got fp32: \.\./\.\./encoder\.tflite"):
        EncoderManifest.from_json(value)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"{", b"[]", json.dumps({"format": 1, "id": 3}).encode()])
def test_bytes_that_are_no_manifest_are_refused(data):
    with pytest.raises(Incompatible):
        EncoderManifest.parse(data)


def test_a_folder_without_a_manifest_is_named(tmp_path):
    with pytest.raises(EncoderNotFound, match=tmp_path.name):
        EncoderManifest.read(tmp_path)


def test_an_unknown_vector_is_refused_with_the_known_ones():
    with pytest.raises(Incompatible, match="'sound'; expected image or text"):
        a_manifest().vector("sound")


def test_a_precision_that_was_not_made_says_how_to_get_it():
    with pytest.raises(EncoderNotFound, match=r"got int8; expected fp32.*calibration"):
        a_manifest().precision("int8")


def test_a_precision_that_was_refused_says_why():
    with pytest.raises(EncoderRejected, match=r"cosine to fp32 is 0\.5"):
        a_manifest(details={"int8_refused": "its mean cosine to fp32 is 0.5"}).precision("int8")
