"""Which encoder a collection lives by when nobody names one; that it is built is tested with `index`."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from PIL import Image

from lookalike.default_encoder import DEFAULT_BACKBONE, default_encoder, read_pictures, spread
from lookalike.encoders import EncoderManifest, Encoders
from lookalike.encoders.manifest import MANIFEST_FILE, content_id
from lookalike.errors import Incompatible
from lookalike.storage import Store


@pytest.fixture
def artifacts(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "artifacts"))


def renamed(folder: Path, target: Path, name: str, created_at: str = "") -> Path:
    """The same encoder under another name."""
    shutil.copytree(folder, target)
    manifest = dataclasses.replace(EncoderManifest.read(folder), name=name)
    manifest = dataclasses.replace(
        manifest, id=content_id(manifest), created_at=created_at or manifest.created_at
    )
    (target / MANIFEST_FILE).write_bytes(manifest.dump())
    return target


def test_the_only_encoder_is_taken(artifacts: Store, tiny_encoder_folder: Path) -> None:
    encoders = Encoders(artifacts)
    added = encoders.add(tiny_encoder_folder)
    assert default_encoder(encoders, artifacts) == added


def test_the_default_backbone_comes_before_all_others(
    artifacts: Store, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    encoders = Encoders(artifacts)
    encoders.add(tiny_encoder_folder)
    added = encoders.add(renamed(tiny_encoder_folder, tmp_path / "renamed", DEFAULT_BACKBONE))
    assert default_encoder(encoders, artifacts) == added


def test_somebody_has_to_choose_between_several_others(
    artifacts: Store, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    encoders = Encoders(artifacts)
    encoders.add(tiny_encoder_folder)
    encoders.add(renamed(tiny_encoder_folder, tmp_path / "renamed", "other"))
    with pytest.raises(Incompatible, match="--encoder"):
        default_encoder(encoders, artifacts)


@pytest.mark.parametrize(
    ("count", "wanted", "expected"), [(0, 5, 0), (3, 5, 3), (5, 5, 5), (6, 5, 3), (100, 5, 5)]
)
def test_a_sample_is_spread_over_all_and_never_too_large(count: int, wanted: int, expected: int) -> None:
    files = [Path(f"{number}") for number in range(count)]
    sample = spread(files, wanted)
    assert len(sample) == expected
    assert not sample or sample[0] == files[0]
    assert count <= wanted or int(sample[-1].name) >= count / 2


def test_pictures_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    files = [tmp_path / "bad.png", tmp_path / "gone.png", tmp_path / "good.png"]
    assert [pixels.shape for pixels in read_pictures(files)] == [(30, 40, 3)]
