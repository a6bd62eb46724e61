"""One rule says whether a collection needs a new snapshot, whoever asks: `index`, a server, the cloud."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fixtures.photos import write_photos

from lookalike.cli import main
from lookalike.encoders import EncoderManifest, Encoders
from lookalike.snapshots import current, list_snapshots
from lookalike.storage import Store

FIRST, SECOND = 12, 4


class Shop:
    """A store with one collection of `FIRST` items that a snapshot serves, and a second encoder."""

    def __init__(self, base: Path, encoder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.base = base
        self.capture = capture
        self.artifacts = Store(str(base / "store" / "artifacts"))
        encoders = Encoders(self.artifacts)
        self.first = encoders.add(encoder).id
        write_photos(base / "first", FIRST)
        write_photos(base / "second", SECOND, seed=9)
        self.run("index", base / "first", "-c", "shop")
        self.other = encoders.add(another_encoder(encoder, base / "other")).id

    def run(self, *arguments: object) -> dict[str, Any]:
        code = main([*map(str, arguments), "--store", str(self.base / "store"), "--json"])
        out, noise = self.capture.readouterr()
        assert code == 0, f"{arguments}\n{out}\n{noise}"
        self.noise = noise
        document: dict[str, Any] = json.loads(out)
        return document

    def index_second(self) -> None:
        """Index `SECOND` more images, under names that the first ones do not have."""
        for file in (self.base / "second").rglob("*.jpg"):
            file.rename(file.with_name(f"second-{file.name}"))
        for file in (self.base / "second").glob("*.csv"):
            file.unlink()
        self.run("index", self.base / "second", "-c", "shop")


def another_encoder(folder: Path, target: Path) -> Path:
    """The same network under another name, and so another id."""
    shutil.copytree(folder, target)
    manifest = EncoderManifest.read(folder)
    name = "other"
    renamed = replace(manifest, name=name, id=manifest.id.replace(manifest.name, name, 1))
    (target / "encoder.json").write_bytes(renamed.dump())
    return target


@pytest.fixture
def shop(
    tmp_path: Path,
    tiny_encoder_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LOOKALIKE_STORE", raising=False)
    return Shop(tmp_path, tiny_encoder_folder, capsys)


def test_after_a_change_of_encoder_index_publishes_no_snapshot_of_a_part(shop: Shop) -> None:
    before = current(shop.artifacts, "shop")
    shop.run("collections", "update", "shop", "--encoder", shop.other)
    shop.index_second()
    assert current(shop.artifacts, "shop") == before  # a snapshot would have held the new items alone
    assert "lookalike reconcile" in shop.noise
    shop.run("reconcile", "-c", "shop")
    shop.run("index", shop.base / "second", "-c", "shop")
    serving = current(shop.artifacts, "shop")
    assert serving is not None
    assert (serving.encoder_id, serving.count) == (shop.other, FIRST + SECOND)


def test_before_the_first_snapshot_the_same_holds(shop: Shop) -> None:
    shop.run("index", shop.base / "first", "-c", "late", "--no-snapshot", "--encoder", shop.first)
    shop.run("collections", "update", "late", "--encoder", shop.other)
    write_photos(shop.base / "third", SECOND, seed=30)
    shop.run("index", shop.base / "third", "-c", "late")
    assert list_snapshots(shop.artifacts, "late") == []


@pytest.mark.parametrize(
    ("options", "wanted"),
    [(["--engine", "exact"], "exact"), (["--n-trees", "3"], "annoy"), (["--recall-target", "0.5"], "annoy")],
)
def test_index_builds_what_changed_options_ask_for(shop: Shop, options: list[str], wanted: str) -> None:
    before = current(shop.artifacts, "shop")
    shop.run("collections", "update", "shop", *options)
    shop.run("index", shop.base / "first", "-c", "shop")
    serving = current(shop.artifacts, "shop")
    assert before is not None
    assert serving is not None
    assert serving.id != before.id
    assert serving.options.engine == wanted
    assert serving.options != before.options
