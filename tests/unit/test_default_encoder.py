"""The default encoder: which one a collection uses when none is named. `index` tests that it is built."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from PIL import Image

from lookalike.default_encoder import default_encoder, read_pictures, spread
from lookalike.encoders import EncoderManifest
from lookalike.encoders.manifest import MANIFEST_FILE, content_id
from lookalike.encoders.registry import DEFAULT_ENCODER
from lookalike.errors import Incompatible
from lookalike.library import Library
from lookalike.settings import Settings


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(Settings(store=str(tmp_path / "store")), tmp_path / "cache")


def renamed(folder: Path, target: Path, name: str, created_at: str = "") -> Path:
    """The same encoder under another name."""
    shutil.copytree(folder, target)
    manifest = dataclasses.replace(EncoderManifest.read(folder), name=name)
    manifest = dataclasses.replace(
        manifest, id=content_id(manifest), created_at=created_at or manifest.created_at
    )
    (target / MANIFEST_FILE).write_bytes(manifest.dump())
    return target


def test_the_only_encoder_is_taken(library: Library, tiny_encoder_folder: Path) -> None:
    encoders = library.encoders
    added = encoders.add(tiny_encoder_folder)
    assert default_encoder(library) == added


def test_the_default_backbone_comes_before_all_others(
    library: Library, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    encoders = library.encoders
    encoders.add(tiny_encoder_folder)
    added = encoders.add(renamed(tiny_encoder_folder, tmp_path / "renamed", DEFAULT_ENCODER))
    assert default_encoder(library) == added


def test_somebody_has_to_choose_between_several_others(
    library: Library, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    encoders = library.encoders
    encoders.add(tiny_encoder_folder)
    encoders.add(renamed(tiny_encoder_folder, tmp_path / "renamed", "other"))
    with pytest.raises(Incompatible, match="--encoder"):
        default_encoder(library)


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


def test_a_store_without_encoders_has_no_default(library: Library) -> None:
    assert library.encoders.default() is None
