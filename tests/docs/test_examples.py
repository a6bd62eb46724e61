"""The Python API as the README and `examples/` show it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.photos import write_photos

import lookalike
from lookalike.library import Collection

ROOT = Path(__file__).parents[2]
COUNT = 24
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, tiny_encoder_folder: Path) -> Path:
    """A folder as a reader has it: a store, photos in two folders and a query."""
    library = lookalike.open(str(tmp_path / "store"), cache=tmp_path / "cache")
    library.encoders.add(tiny_encoder_folder)
    write_photos(tmp_path / "photos", COUNT)
    (tmp_path / "photos" / "shoes").mkdir(exist_ok=True)
    first = sorted((tmp_path / "photos").rglob("*.jpg"))[0]
    shutil.copyfile(first, tmp_path / "query.jpg")
    shutil.copyfile(first, tmp_path / "photos" / "shoes" / "1.jpg")
    return tmp_path


def run(place: Path, *command: object) -> str:
    """Standard output of a Python process in the folder."""
    ran = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=place,
        env={**os.environ, "XDG_CACHE_HOME": str(place / "user-cache"), "PYTHONPATH": str(ROOT / "shared")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def example(place: Path, name: str, *arguments: object) -> str:
    return run(place, ROOT / "examples" / f"{name}.py", "store", "shop", *arguments)


def shop(place: Path) -> Collection:
    return lookalike.open(str(place / "store"), cache=place / "cache").collection("shop")


def test_the_examples_add_search_evaluate_and_remove(place: Path) -> None:
    assert example(place, "add", "photos").startswith(f"{COUNT + 1} encoded")
    assert example(place, "add", "photos").startswith(f"0 encoded, {COUNT + 1} unchanged")
    lines = example(place, "search", "query.jpg").splitlines()
    assert len(lines) == 5
    assert lines[0].split("\t")[1] == "1.000"
    lines = example(place, "search_by_words", "shoos").splitlines()
    assert lines[0] == "shoos → shoes"
    assert all(line.startswith("shoes/") for line in lines[1:])
    printed = example(place, "evaluate")
    assert "recall_at_1" in printed
    assert "map_at_r" in printed
    assert example(place, "remove", "shoes/1.jpg") == "1 deleted\n"
    assert shop(place).search(place / "query.jpg", k=COUNT).matches[-1].item.id != "shoes/1.jpg"


def test_the_readme_and_the_training_example_run(place: Path) -> None:
    """The code of the README trains; the example then trains on, from the same features."""
    example(place, "add", "photos")
    (code,) = [block for block in BLOCK.findall((ROOT / "README.md").read_text("utf-8")) if "shop" in block]
    assert "shop.train()" in code
    printed = run(place, "-c", code.replace("shop.train()", "shop.train(epochs=1, views=2)")).splitlines()
    assert len(printed) == 5
    before = {manifest.id for manifest in shop(place).library.encoders.list()}
    trained = example(place, "train", 1)
    encoder = trained.partition(":")[0]
    assert encoder in {manifest.id for manifest in shop(place).library.encoders.list()} - before
