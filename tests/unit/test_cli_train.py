"""`lookalike train`: what it refuses, what it makes, and that stopping it loses nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.command import Command
from fixtures.sources import fill, zipped
from PIL import Image

from lookalike.cli import main
from lookalike.cli.train import numbers

CLASSES = {"red": (200, 40, 40), "blue": (40, 40, 200), "green": (40, 200, 40)}
EACH = 12
QUICK = ("--views", "2", "--epochs", "3", "--dimension", "16")


def shop(folder: Path) -> Path:
    """Pictures of three colours with noise, in folders; the noise is no picture's alone to learn."""
    random = np.random.default_rng(0)
    for label, colour in CLASSES.items():
        (folder / label).mkdir(parents=True)
        for number in range(EACH):
            blocks = np.clip(np.array(colour) + random.integers(-40, 41, (5, 5, 3)), 0, 255).astype(np.uint8)
            picture = Image.fromarray(blocks).resize((64, 64), Image.Resampling.BICUBIC)
            picture.save(folder / label / f"{number}.png")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOOKALIKE_STORE", str(tmp_path / "store"))
    return tmp_path


# What it refuses, before TensorFlow is loaded


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "give either SOURCE or --collection"),
        (("photos", "--collection", "shop"), 2, "give either SOURCE or --collection"),
        (("photos", "--loss", "hinge"), 2, "hinge"),
        (("photos", "--dimension", "4"), 1, "dimension is out of range; got 4; expected 8 to 4096"),
        (("photos", "--blend", "2"), 1, "blend is out of range"),
        (("nowhere",), 1, "there is no such source; got nowhere"),
        (("--collection", "nowhere"), 1, "nowhere"),
        (("photos", "--publish", "nowhere"), 1, "nowhere"),
        (("photos", "--label", "colour"), 1, "no metadata file has a column colour"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(home)
    fill(home / "photos", "a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg")
    assert main(["train", *arguments, "--json"]) == code
    out, error = capsys.readouterr()
    assert words in error
    assert words in json.loads(out)["error"]["message"]
    assert not (home / "cache" / "lookalike" / "training" / "runs").exists()


def test_a_bad_source_is_told_in_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, source in enumerate(
        (
            fill(home / "flat", "1.jpg", "2.jpg"),
            fill(home / "one", "a/1.jpg", "a/2.jpg"),
            fill(home / "broken", "a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg", data=b"\xff\xd8\xff no"),
            zipped(home / "evil.zip", ["a/1.jpg", "../evil.jpg"]),
        )
    ):
        assert main(["train", str(source)]) == 1, number
        out, error = capsys.readouterr()
        assert out == ""
        assert error.startswith("Error: ")
        assert error.count("\n") == 1


def test_numbers_stand_beside_the_bar() -> None:
    assert (
        numbers(0.4123, {"recall_at_1": 0.9, "map_at_r": 0.7031})
        == "loss 0.412 · recall@1 0.900 · mAP@R 0.703"
    )
    assert numbers(None, {}) == ""


# What it makes


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A store in which `lookalike train` has run once on a zip file, and what it said."""
    home = tmp_path_factory.mktemp("trained")
    folder = shop(home / "shop")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    with zipfile.ZipFile(home / "shop.zip", "w") as archive:
        for name in ["__MACOSX/._red", *names]:
            archive.writestr(f"shop/{name}", (folder / name).read_bytes() if name in names else b"junk")
    command = Command(home / "store", home)
    return home, train(command, home / "shop.zip", *QUICK, "--name", "colours")


def test_an_encoder_comes_out(trained: tuple[Path, dict[str, Any]]) -> None:
    home, said = trained
    assert (said["pictures"], said["classes"]) == (3 * EACH, 3)
    assert said["train"] + said["validation"] == 3 * EACH
    assert said["validation"] >= 3
    assert said["encoder"]["id"].startswith("colours-")
    assert said["encoder"]["vectors"][0]["dimension"] >= 16
    assert said["metrics"]["recall_at_1"] == 1.0
    assert any("all images lie below shop/" in note for note in said["notes"])
    assert any("leftovers" in note for note in said["notes"])
    known = Command(home / "store", home).run("encoders", "list")["encoders"]
    assert [encoder["id"] for encoder in known] == [said["encoder"]["id"]]


def test_the_same_again_computes_nothing_and_gives_the_same(trained: tuple[Path, dict[str, Any]]) -> None:
    home, said = trained
    again = train(Command(home / "store", home), home / "shop.zip", *QUICK, "--name", "colours")
    assert (again["encoder"]["id"], again["metrics"], again["run"]) == (
        said["encoder"]["id"],
        said["metrics"],
        said["run"],
    )
    assert json.loads((Path(said["run"]) / "result.json").read_text())["views_computed"] == 0


def test_a_handful_of_pictures_is_enough(home: Path) -> None:
    folder = shop(home / "shop")
    for path in folder.rglob("*.png"):
        if int(path.stem) > 2:
            path.unlink()
    said = train(Command(home / "store", home), folder, *QUICK)
    assert (said["pictures"], said["classes"]) == (9, 3)
    assert list(said["encoder"]["precisions"]) == ["fp32"]
    assert any("the encoder is in fp32 only: 6 training images" in note for note in said["notes"])


def test_it_serves_a_collection_and_learns_from_one(trained: tuple[Path, dict[str, Any]]) -> None:
    home, said = trained
    command = Command(home / "store", home)
    command.run("index", home / "shop", "-c", "shop", "--encoder", said["encoder"]["id"])
    found = command.run("search", home / "shop" / "red" / "0.png", "-c", "shop", "-k", "5")
    assert {result["category"] for result in found["results"]} == {"red"}
    page = home / "report.html"
    asked = (
        "train",
        "--collection",
        "shop",
        *QUICK,
        "--loss",
        "softmax",
        "--report",
        page,
        "--publish",
        "shop",
    )
    second = train(command, *asked[1:], code=1)  # it is not published
    assert second["encoder"]["id"] != said["encoder"]["id"]
    # Both know every colour, so the new one cannot be better, and the old one goes on to serve.
    assert second["publication"]["published"] is False
    assert command.run("collections", "show", "shop")["encoder_id"] == said["encoder"]["id"]
    html = page.read_text("utf-8")
    assert said["encoder"]["id"] in html
    assert second["encoder"]["id"] in html
    assert "<svg" in html


def test_stopped_with_ctrl_c_it_goes_on(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    home, said = trained
    command = Command(tmp_path / "store", tmp_path)
    arguments = ("train", home / "shop.zip", *QUICK, "--name", "colours")
    runs = tmp_path / "cache" / "lookalike" / "training" / "runs"
    with stopping(command.start(*arguments)) as process:
        until(lambda: any(runs.glob("*/state.json")), process)
    out, error = process.communicate(timeout=600)
    assert process.returncode == 130, error
    assert json.loads(out)["error"]["type"] == "Interrupted"
    (run,) = runs.iterdir()
    assert not (run / "result.json").exists()
    again = train(command, *arguments[1:])
    assert again["run"] == str(run)
    assert again["metrics"] == said["metrics"]


def train(command: Command, *arguments: object, code: int = 0) -> dict[str, Any]:
    """Run `lookalike train` to its end, however long a busy machine takes, and return what it says."""
    process = command.start("train", *arguments)
    out, error = process.communicate(timeout=1_800)
    assert process.returncode == code, error
    said: dict[str, Any] = json.loads(out)
    return said


@contextmanager
def stopping(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Ctrl-C when the block ends, as a terminal sends it."""
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)


def until(ready: Any, process: subprocess.Popen[str]) -> None:
    while not ready():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
