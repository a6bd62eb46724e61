"""The demo: with pictures drawn here in place of downloaded ones, and with no registry to download from."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from fixtures.photos import write_photos
from PIL import Image

from lookalike.cli import main
from lookalike.demo import npm, tour
from lookalike.demo.emoji import PACKAGE, VERSION, lay_out, read_emoji, slug
from lookalike.encoders import Encoders
from lookalike.storage import Store

FOOD = frozenset({"Food & Drink"})


@pytest.fixture
def here(tmp_path: Path, tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, whose demo store has an encoder."""
    monkeypatch.chdir(tmp_path)
    Encoders(Store(str(tmp_path / tour.STORE / "artifacts"))).add(tiny_encoder_folder)
    return tmp_path


def put_pictures(folder: Path, groups: frozenset[str]) -> None:
    """What npm would have fetched, drawn."""
    pictures = folder / f"fluent-emoji-3d-{VERSION}" / "node_modules" / PACKAGE / "assets"
    pictures.mkdir(parents=True, exist_ok=True)
    (pictures.parents[2] / ".package-lock.json").write_text("{}")
    numbers = np.random.default_rng(0)
    titles = {title for chapter in tour.CHAPTERS for title in chapter.titles}
    for number, one in enumerate(read_emoji(groups)):
        if number % 6 and one.title not in titles:
            continue
        blocks = numbers.integers(0, 256, (3, 3, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((32, 32)).save(pictures / f"{one.code}.webp")


def test_emoji_have_names_and_categories() -> None:
    food = {one.code: one for one in read_emoji(FOOD)}
    grapes = food["1f347"]
    assert (grapes.title, grapes.group, grapes.category) == ("Grapes", "Food & Drink", "fruit")
    assert grapes.file == "fruit/grapes-1f347.webp"
    assert len(food) > 100
    assert {one.group for one in food.values()} == set(FOOD)
    assert slug("Café: 100 %!") == "caf-100"


def test_a_folder_is_laid_out_as_a_user_brings_it(tmp_path: Path) -> None:
    put_pictures(tmp_path, FOOD)
    pictures = tmp_path / f"fluent-emoji-3d-{VERSION}" / "node_modules" / PACKAGE / "assets"
    emoji = read_emoji(FOOD)
    target = tmp_path / "food"
    assert 0 < lay_out(emoji, pictures, target) == len(list(pictures.iterdir())) < len(emoji)
    with (target / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == {
        file.relative_to(target).as_posix() for file in target.rglob("*.webp")
    }
    assert all(row["title"] and row["category"] and row["unicode"] and row["product_id"] for row in rows)
    before = {file: file.stat().st_mtime_ns for file in target.rglob("*")}
    lay_out(emoji, pictures, target)
    assert {file: file.stat().st_mtime_ns for file in target.rglob("*")} == before


def test_the_whole_demo_runs_and_runs_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups = frozenset().union(*(chapter.groups for chapter in tour.CHAPTERS))
    put_pictures(here / tour.CACHE, groups)
    for encoded in (True, False):
        assert tour.main({"DEMO_SERVE": "0"}) == 0
        said = capsys.readouterr().out
        assert (" 0 encoded now" in said) is not encoded
        for chapter in tour.CHAPTERS:
            assert f"{chapter.collection}:" in said
            assert all(title in said for title in chapter.titles)
            with Image.open(here / tour.STORE / f"{chapter.collection}.png") as sheet:
                assert sheet.width > 1_000


def test_it_is_a_command_and_says_what_to_type_next(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_photos(here / "photos", 12)
    assert main(["demo", "--images", "photos", "--no-serve", "--store", str(here / tour.STORE)]) == 0
    said = capsys.readouterr().out
    assert "mine: 12 images" in said
    assert f"index FOLDER --collection mine --store {here / tour.STORE}" in said


def test_node_is_the_one_that_is_locked() -> None:
    lock = (Path(__file__).parents[2] / "requirements.lock").read_text("utf-8").splitlines()
    assert npm.NODE in lock


def test_a_folder_of_the_users_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_photos(here / "photos", 12)
    assert tour.main({"DEMO_SERVE": "0", "DEMO_IMAGES": "photos"}) == 0
    assert "mine: 12 images" in capsys.readouterr().out
    assert (here / tour.STORE / "mine.png").is_file()


def test_an_own_folder_without_pictures_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "empty").mkdir()
    assert tour.main({"DEMO_SERVE": "0", "DEMO_IMAGES": "empty"}) == 1
    assert "DEMO_IMAGES has no images" in capsys.readouterr().err


def test_without_a_registry_the_demo_says_what_to_do(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The real npm, sent to a port where nobody listens.
    for name in [name for name in os.environ if name.lower().startswith("npm_config_")]:
        monkeypatch.delenv(name)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    settings = here / "npmrc"
    settings.write_text(f"registry=http://127.0.0.1:9/\ncache={here / 'npm-cache'}\n")
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(settings))
    monkeypatch.setenv("NPM_CONFIG_GLOBALCONFIG", str(here / "none"))
    assert tour.main({"DEMO_SERVE": "0"}) == 1
    error = capsys.readouterr().err
    assert "npm could not fetch" in error
    assert "DEMO_IMAGES=" in error
    assert "Traceback" not in error


def test_an_install_that_was_cut_off_is_not_taken_for_whole(here: Path) -> None:
    put_pictures(here / tour.CACHE, FOOD)
    lock = here / tour.CACHE / f"fluent-emoji-3d-{VERSION}" / "node_modules" / ".package-lock.json"
    assert json.loads(lock.read_text()) == {}
    lock.unlink()
    told: list[str] = []

    class Stopped(Exception):
        pass

    def tell(text: str) -> None:
        told.append(text)
        raise Stopped

    with pytest.raises(Stopped):
        tour.fetch_pictures(here / tour.CACHE, tell)
    assert "fetching" in told[0]
