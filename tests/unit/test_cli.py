"""The command line, in this process: what it prints, what it returns, what it leaves behind."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fixtures.command import Command
from fixtures.encoders import save_tiny_model
from fixtures.photos import write_photos
from fixtures.pictures import draw_scene
from fixtures.search_answer import ANSWER_FIELDS, MATCH_FIELDS
from PIL import Image

from lookalike.api.keys import Keys
from lookalike.cli import main
from lookalike.encoders import Encoders
from lookalike.library import Library
from lookalike.storage import Store

NAME = "shop"
PICTURES = 24


@dataclass
class Shell:
    """Runs commands on one store and reads what they print."""

    base: Path
    capture: pytest.CaptureFixture[str]

    @property
    def store(self) -> str:
        return str(self.base / "store")

    def run(self, *arguments: object, code: int = 0) -> str:
        """Standard output; standard error is kept in `error`."""
        got = main([*map(str, arguments), "--store", self.store])
        out, self.error = self.capture.readouterr()
        assert got == code, f"{arguments}: exit {got}\n{out}\n{self.error}"
        return out

    def json(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        """The one JSON document on standard output."""
        document: dict[str, Any] = json.loads(self.run(*arguments, "--json", code=code))
        return document


@pytest.fixture
def shell(
    tmp_path: Path,
    tiny_encoder_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    """A store with an encoder, and no collection."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("LOOKALIKE_STORE", raising=False)
    Encoders(Store(str(tmp_path / "store" / "artifacts"))).add(tiny_encoder_folder)
    return Shell(tmp_path, capsys)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos", PICTURES)
    return tmp_path / "photos"


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_folder: Path) -> Path:
    """A folder with photos, and a store in which they have been indexed; tests use copies of it.

    All images of a copy count as changed for the next `index`, because their files are new.
    """
    base = tmp_path_factory.mktemp("indexed")
    write_photos(base / "photos", PICTURES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        Encoders(Store(str(base / "store" / "artifacts"))).add(tiny_encoder_folder)
        assert (
            main(["index", str(base / "photos"), "-c", NAME, "--store", str(base / "store"), "--json"]) == 0
        )
    return base


@pytest.fixture
def shop(shell: Shell, photos: Path, indexed: Path) -> Shell:
    """A store with one collection that has been indexed, from `photos`."""
    for folder in ("photos", "store"):
        shutil.rmtree(shell.base / folder)
        shutil.copytree(indexed / folder, shell.base / folder)
    return shell


@pytest.fixture
def freshly_indexed(shell: Shell, photos: Path) -> Shell:
    """As `shop`, but `index` ran on the files themselves, so that it knows them when it runs again."""
    shell.json("index", photos, "-c", NAME)
    return shell


# index


def test_index_says_what_it_did_and_the_second_time_that_nothing_was_left(shell: Shell, photos: Path) -> None:
    first = shell.json("index", photos, "--collection", NAME)
    expected = {"pictures": PICTURES, "copied": PICTURES, "encoded": PICTURES, "unchanged": 0, "rejected": 0}
    assert {name: first[name] for name in expected} == expected
    assert first["metadata_rows"] == PICTURES
    assert first["snapshot"]
    again = shell.json("index", photos, "--collection", NAME)
    expected = {"pictures": PICTURES, "copied": 0, "encoded": 0, "unchanged": PICTURES, "metadata_rows": 0}
    assert {name: again[name] for name in expected} == expected
    assert again["snapshot"] == first["snapshot"]
    assert f"{PICTURES} unchanged" in shell.run("index", photos, "-c", NAME)


def test_index_and_serve_print_the_next_command_to_copy(shell: Shell, photos: Path) -> None:
    command = [sys.executable, "-m", "lookalike", "serve", "--port", "0", "--store", shell.store]

    def next_step() -> str:
        """What a server prints after its URL."""
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        with started:
            assert started.stderr is not None
            step = next(line for line in started.stderr if "lookalike index" in line or "curl" in line)
            started.send_signal(signal.SIGTERM)
        return step

    assert f"lookalike index FOLDER --collection NAME --store {shell.store}" in next_step()
    shell.run("index", photos, "-c", NAME)
    (line,) = [line for line in shell.error.splitlines() if line.startswith("Search it: lookalike ")]
    words = (
        line.removeprefix("Search it: lookalike ").replace("IMAGE", str(photos / "hats" / "0000.jpg")).split()
    )
    assert main(words) == 0
    assert "hats/0000.jpg" in shell.capture.readouterr().out
    assert re.search(rf"curl -F image=@IMAGE http://127.0.0.1:\d+/collections/{NAME}/search", next_step())


def test_index_takes_what_is_new_and_what_has_changed(freshly_indexed: Shell, photos: Path) -> None:
    shell = freshly_indexed
    write_photos(shell.base / "more", 6, seed=5)
    (shell.base / "more" / "bags" / "0002.jpg").rename(photos / "bags" / "new.jpg")
    (shell.base / "more" / "hats" / "0000.jpg").replace(photos / "hats" / "0000.jpg")
    Image.new("RGB", (8, 8), "red").save(photos / "hats" / "0000.jpg")
    report = shell.json("index", photos, "-c", NAME)
    assert (report["copied"], report["encoded"], report["unchanged"]) == (2, 2, PICTURES - 1)
    assert shell.json("stats", "-c", NAME)["collections"][0]["items"] == PICTURES + 1


def test_index_reports_bad_pictures_and_bad_rows_and_keeps_the_rest(shell: Shell, photos: Path) -> None:
    (photos / "hats" / "broken.jpg").write_bytes(b"not a picture at all")
    (photos / "hats" / "notes.txt").write_text("not even called one")
    (photos / "more.csv").write_text("file,price\nhats/0000.jpg,5\n,7\n../../escape.jpg,8\n")
    report = shell.json("index", photos, "-c", NAME)
    assert (report["encoded"], report["rejected"], report["ignored"]) == (PICTURES, 1, 1)
    assert {(problem["file"], problem["row"]) for problem in report["metadata_problems"]} == {
        ("more.csv", 3),
        ("more.csv", 4),
    }
    listed = shell.json("rejections", "-c", NAME)
    assert [(one["id"], one["reason"]) for one in listed["rejections"]] == [
        ("hats/broken.jpg", "unsupported_format")
    ]
    assert len(listed["metadata_problems"]) == 2
    assert "hats/broken.jpg" in shell.run("rejections", "-c", NAME)
    shell.run("index", photos, "-c", NAME)
    assert "1 other files were ignored" in shell.error


def test_index_leaves_its_own_store_alone(shell: Shell, photos: Path) -> None:
    """`lookalike index . --store ./store` must not index what it writes."""
    for _ in range(2):
        assert shell.json("index", shell.base, "-c", NAME)["pictures"] == PICTURES


def test_index_makes_the_collection_that_the_options_describe(shell: Shell, photos: Path) -> None:
    shell.json("index", photos, "-c", NAME, "--metric", "l1", "--engine", "exact", "--no-snapshot")
    made = shell.json("collections", "show", NAME)
    assert (made["metric"], made["engine"]) == ("l1", "exact")
    assert shell.json("snapshot", "list", "-c", NAME)["snapshots"] == []
    found = shell.json("search", photos / "hats" / "0000.jpg", "-c", NAME, "-k", 1)
    assert (found["snapshot"], found["results"][0]["id"]) == (None, "hats/0000.jpg")
    error = shell.json("index", photos, "-c", NAME, "--metric", "l2", code=1)["error"]
    assert (error["got"], error["expected"]) == ("l2", "l1")


def test_index_builds_the_default_encoder_where_there_is_none(
    tmp_path: Path,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shell = Shell(tmp_path, capsys)
    report = shell.json("index", photos, "-c", NAME)
    assert report["encoded"] == PICTURES
    assert report["encoder"].startswith("efficientnet-lite0-")
    # Another collection lives by the same one.
    assert shell.json("index", photos, "-c", "second")["encoder"] == report["encoder"]
    assert len(shell.json("encoders", "list")["encoders"]) == 1


# search


def test_search_by_picture_and_by_id_answers_as_the_http_api_does(shop: Shell, photos: Path) -> None:
    answer = shop.json("search", photos / "shoes" / "0001.jpg", "-c", NAME, "-k", 3)
    assert set(answer) == ANSWER_FIELDS
    assert answer["collection"] == NAME
    best = answer["results"][0]
    assert set(best) == MATCH_FIELDS
    assert (best["id"], best["category"], best["product_id"]) == ("shoes/0001.jpg", "shoes", "product-0")
    assert best["metadata"] == {"title": "Picture 1", "price": 1.5}
    assert best["score"] == pytest.approx(1, abs=1e-3)
    assert best["image_url"].startswith("file://")
    assert best["image_url"].endswith("shop/images/shoes/0001.jpg")
    scores = [result["score"] for result in answer["results"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)

    others = shop.json("search", "--id", "shoes/0001.jpg", "-c", NAME, "-k", 3)["results"]
    assert "shoes/0001.jpg" not in {result["id"] for result in others}
    with_self = shop.json("search", "--id", "shoes/0001.jpg", "-c", NAME, "-k", 3, "--include-self")
    assert with_self["results"][0]["id"] == "shoes/0001.jpg"
    assert [r["id"] for r in with_self["results"][1:]] == [r["id"] for r in others[:2]]


def test_search_filters_groups_and_pages(shop: Shell, photos: Path) -> None:
    picture = photos / "shoes" / "0001.jpg"
    cheap = shop.json("search", picture, "-c", NAME, "--filter", '{"price": {"lt": 5}, "category": "shoes"}')
    assert [result["id"] for result in cheap["results"]] == ["shoes/0001.jpg"]
    grouped = shop.json("search", picture, "-c", NAME, "-k", 50, "--group-by", "category")["results"]
    assert sorted(result["category"] for result in grouped) == ["bags", "belts", "hats", "shoes"]
    whole = shop.json("search", picture, "-c", NAME, "-k", PICTURES)["results"]
    page = shop.json("search", picture, "-c", NAME, "-k", 4, "--offset", 3)["results"]
    assert len(whole) == PICTURES
    assert page == whole[3:7]


def test_search_prints_a_table_and_draws_a_sheet(shop: Shell, photos: Path) -> None:
    sheet = shop.base / "drawn" / "sheet.png"
    printed = shop.run("search", "--id", "bags/0002.jpg", "-c", NAME, "-k", 4, "--sheet", sheet)
    assert str(sheet) in shop.error.replace("\n", "")
    matches = shop.json("search", "--id", "bags/0002.jpg", "-c", NAME, "-k", 4)["results"]
    assert all(match["id"] in printed for match in matches)
    with Image.open(sheet) as drawn:
        assert drawn.width > 5 * 200


def test_the_store_may_come_from_the_environment(shop: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_STORE", shop.store)
    assert main(["stats", "--json"]) == 0
    assert json.loads(shop.capture.readouterr().out)["collections"][0]["items"] == PICTURES


# The other commands


def test_neighbors_writes_one_file(shop: Shell) -> None:
    target = shop.base / "near.json"
    told = shop.json("neighbors", "-c", NAME, "-k", 3, "--output", target)
    document = json.loads(target.read_text("utf-8"))
    assert told["items"] == document["count"] == PICTURES
    assert {len(item["neighbors"]) for item in document["items"]} == {3}
    assert {item["product_id"] for item in document["items"]} == {
        f"product-{n}" for n in range(PICTURES // 2)
    }
    assert document["items"][0]["neighbors"] == [
        {name: result[name] for name in ("id", "product_id", "score", "distance", "confidence")}
        for result in shop.json("search", "--id", document["items"][0]["id"], "-c", NAME, "-k", 3)["results"]
    ]


def test_duplicates_finds_copies_and_keeps_the_largest(shell: Shell, photos: Path) -> None:
    scene = Image.fromarray(draw_scene(1))
    scene.save(photos / "hats" / "large.png")
    scene.resize((128, 128), Image.Resampling.BICUBIC).save(photos / "hats" / "small.jpg")
    shell.json("index", photos, "-c", NAME)
    sheet = shell.base / "groups.png"
    found = shell.json("duplicates", "-c", NAME, "--min-score", "0.9999", "--sheet", sheet)
    groups = {group["keep"]: [m["id"] for m in group["members"]] for group in found["groups"]}
    assert groups["hats/large.png"] == ["hats/large.png", "hats/small.jpg"]
    assert sheet.is_file()
    assert "hats/small.jpg" in shell.run("duplicates", "-c", NAME, "--by", "hash")
    shell.run("duplicates", "-c", NAME, "--by", "eye", code=2)


def test_decisions_about_duplicates_stick(shell: Shell, photos: Path) -> None:
    scene = Image.fromarray(draw_scene(1))
    scene.save(photos / "hats" / "large.png")
    scene.resize((128, 128), Image.Resampling.BICUBIC).save(photos / "hats" / "small.jpg")
    shell.json("index", photos, "-c", NAME)

    def pairs(name: str = NAME) -> list[list[str]]:
        found = shell.json("duplicates", "-c", name, "--relation", "same", "--min-score", "0.9999")
        assert all(group["relation"] == "same" for group in found["groups"])
        return [[member["id"] for member in group["members"]] for group in found["groups"]]

    both = ["hats/large.png", "hats/small.jpg"]
    assert both in pairs()
    told = shell.run("duplicates", "-c", NAME, "--min-score", "0.9999")
    assert "kept" not in told
    assert "most pixels" in told
    made = shell.json("duplicates", "-c", NAME, "--not-duplicates", both[0], "--not-duplicates", both[1])[
        "decisions"
    ]
    assert (made[0]["kind"], made[0]["ids"]) == ("not_duplicates", both)
    assert both not in pairs()
    shell.json("snapshot", "build", "-c", NAME)
    assert both not in pairs()
    assert "not duplicates" in shell.run("duplicates", "-c", NAME, "--decisions")
    assert shell.json("duplicates", "-c", NAME, "--forget", both[0], "--forget", both[1])["decisions"] == []
    assert both in pairs()
    shell.run("duplicates", "-c", NAME, "--keep-all", both[0], code=1)


def test_collections_are_made_shown_changed_and_deleted(shop: Shell) -> None:
    encoder = shop.json("encoders", "list")["encoders"][0]["id"]
    made = shop.json("collections", "create", "other", "--encoder", encoder[:8], "--engine", "exact")
    assert (made["name"], made["encoder_id"], made["engine"]) == ("other", encoder, "exact")
    assert [c["name"] for c in shop.json("collections", "list")["collections"]] == ["other", NAME]
    assert [c["name"] for c in shop.json("collections")["collections"]] == ["other", NAME]
    changed = shop.json("collections", "update", NAME, "--engine", "exact", "--recall-target", "0.9")
    assert (changed["engine"], changed["recall_target"]) == ("exact", 0.9)
    assert "dimensions" not in changed  # versions before this one would refuse the field
    assert shop.json("collections", "update", NAME, "--dimensions", "128")["dimensions"] == 128
    assert shop.json("snapshot", "build", "-c", NAME)["engine"] == "exact"
    shop.run("collections", "update", NAME, code=2)
    assert shop.json("collections", "create", "other", code=1)["error"]["type"] == "Conflict"
    assert shop.json("collections", "create", "Not A Name", code=1)["error"]["type"] == "InvalidInput"
    shop.json("collections", "delete", NAME, "--yes")
    assert [c["name"] for c in shop.json("collections")["collections"]] == ["other"]
    assert not (Path(shop.store) / "images" / NAME).exists()
    shop.json("collections", "delete", NAME, "--yes", code=1)


def test_collections_are_not_deleted_unasked(shop: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert shop.json("collections", "delete", NAME, code=1)["error"]["fix"].endswith("or pass --yes.")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # only its name will do
    assert "Type the collection's name" in shop.json("collections", "delete", NAME, code=1)["error"]["fix"]
    assert shop.json("stats", "-c", NAME)["collections"][0]["items"] == PICTURES
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{NAME}\n"))
    assert shop.json("collections", "delete", NAME) == {"deleted": NAME}


def test_encoders_are_added_listed_and_compared(shop: Shell, photos: Path, tiny_encoder_folder: Path) -> None:
    added = shop.json("encoders", "add", tiny_encoder_folder)
    assert [m["id"] for m in shop.json("encoders", "list")["encoders"]] == [added["id"]]
    assert added["id"] in shop.run("encoders", "list")
    by_items = shop.json("encoders", "compare", "-c", NAME)
    by_files = shop.json("encoders", "compare", added["name"], "--source", photos)
    line = by_items["encoders"][0]
    assert (line["encoder"], line["pictures"], line["dimension"]) == (added["id"], PICTURES, 16)
    assert 0 <= line["recall_at_1"] == by_files["encoders"][0]["recall_at_1"] <= 1
    assert added["id"] in shop.run("encoders", "compare", "-c", NAME)
    shop.run("encoders", "compare", code=2)
    shop.json("encoders", "compare", "unknown", "-c", NAME, code=1)


def test_an_encoder_is_built_from_a_saved_model(shell: Shell, photos: Path) -> None:
    model = shell.base / "model"
    save_tiny_model(model)
    made = shell.json("encoders", "build", model, "--name", "mine", "--calibrate", photos)
    assert (made["name"], set(made["precisions"])) == ("mine", {"fp32", "int8"})
    assert "quantising" in shell.error
    assert made["id"] in {known["id"] for known in shell.json("encoders", "list")["encoders"]}
    assert shell.json("index", photos, "-c", NAME, "--encoder", "mine")["encoder"] == made["id"]


def test_snapshots_are_built_when_something_changed_or_when_forced(freshly_indexed: Shell) -> None:
    shell = freshly_indexed
    first = shell.json("snapshot", "list", "-c", NAME)["snapshots"][0]
    assert (first["items"], first["current"], first["engine"]) == (PICTURES, True, "annoy")
    assert first["recall"] is not None
    assert shell.json("snapshot", "build", "-c", NAME)["id"] == first["id"]
    forced = shell.json("snapshot", "build", "-c", NAME, "--force")
    assert forced["id"] != first["id"]
    listed = shell.json("snapshot", "list", "-c", NAME)["snapshots"]
    assert [(s["id"], s["current"]) for s in listed] == [(forced["id"], True), (first["id"], False)]
    assert forced["id"] in shell.run("snapshot", "list", "-c", NAME)


def test_reconcile_repairs_what_was_done_behind_its_back(shop: Shell) -> None:
    images = Path(shop.store) / "images" / NAME / "images"
    (images / "hats" / "0000.jpg").unlink()
    Image.new("RGB", (16, 16), "blue").save(images / "hats" / "dropped.png")
    repaired = shop.json("reconcile")["collections"][0]
    assert (repaired["collection"], repaired["encoded"], repaired["removed"]) == (NAME, 1, 1)
    assert (shop.json("reconcile", "-c", NAME)["collections"][0]["encoded"]) == 0
    ids = {r["id"] for r in shop.json("search", "--id", "hats/dropped.png", "-c", NAME, "-k", 50)["results"]}
    assert len(ids) == PICTURES - 1
    assert "hats/0000.jpg" not in ids


def test_keys_are_shown_once_and_can_be_revoked(shell: Shell) -> None:
    made = shell.json("keys", "create", "laptop", "--scope", "read")
    assert made["scopes"] == ["read"]
    both = shell.run("keys", "create", "server").strip()
    listed = shell.json("keys", "list")["keys"]
    assert sorted((key["name"], key["scopes"]) for key in listed) == [
        ("laptop", ["read"]),
        ("server", ["read", "write"]),
    ]
    stored = (Path(shell.store) / "artifacts" / "keys.json").read_text()
    assert made["key"] not in stored
    assert both not in stored
    shell.json("keys", "revoke", made["id"])
    assert [key["name"] for key in shell.json("keys", "list")["keys"]] == ["server"]
    shell.json("keys", "revoke", made["id"], code=1)
    shell.run("keys", "create", "x", "--scope", "everything", code=2)


# What goes wrong


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["search", "--id", "hats/0000.jpg", "-c", "shpo"], "CollectionNotFound", "shop"),
        (["search", "--id", "hats/000.jpg", "-c", NAME], "ItemNotFound", "hats/0000.jpg"),
        (["search", "--id", "hats/0000.jpg", "-c", NAME, "--filter", "{"], "FilterError", "not JSON"),
        (["search", "--id", "hats/0000.jpg", "-c", NAME, "--filter", '{"prcie": 1}'], "FilterError", "price"),
        (["search", "--id", "hats/0000.jpg", "-c", NAME, "--group-by", "colour"], "FilterError", "colour"),
        (["search", "no-such-file.jpg", "-c", NAME], "FileNotFoundError", "no-such-file.jpg"),
        (["search", __file__, "-c", NAME], "UnsupportedFormat", "JPEG"),
        (["index", "no-such-folder", "-c", NAME], "InvalidInput", "no-such-folder"),
        (["index", ".", "-c", "Bad Name"], "InvalidInput", "Bad Name"),
        (["index", ".", "-c", NAME, "--encoder", "unknown"], "EncoderNotFound", "tiny"),
        (["snapshot", "build", "-c", "nothing"], "CollectionNotFound", "shop"),
        (["neighbors", "-c", "nothing"], "CollectionNotFound", "shop"),
        (["duplicates", "-c", "nothing"], "CollectionNotFound", "shop"),
        (["encoders", "add", "."], "EncoderNotFound", "encoder.json"),
        (["keys", "revoke", "nobody"], "NotFound", "nobody"),
    ],
)
def test_errors_are_one_clear_line_and_one_document(
    shop: Shell, arguments: list[str], kind: str, words: str
) -> None:
    error = shop.json(*arguments, code=1)["error"]
    assert error["type"] == kind
    assert words in error["message"]
    assert shop.error == f"Error: {error['message']}\n"
    assert shop.run(*arguments, code=1) == ""
    assert shop.error.startswith("Error: ")
    assert shop.error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["search", "-c", NAME],
        ["search", "a.jpg", "--id", "b", "-c", NAME],
        ["search", "a.jpg"],
        ["search", "a.jpg", "-c", NAME, "-k", "0"],
        ["search", "a.jpg", "-c", NAME, "--min-confidence", "1.5"],
        ["index", "-c", NAME],
        ["index", ".", "-c", NAME, "--metric", "hamming"],
        ["neighbors", "-c", NAME, "-k", "many"],
        ["duplicates", "-c", NAME, "--max-hash-distance", "64"],
    ],
)
def test_wrong_usage_is_exit_code_2(shell: Shell, arguments: list[str]) -> None:
    assert shell.json(*arguments, code=2)["error"]["type"] == "UsageError"
    assert shell.run(*arguments, code=2) == ""
    assert "--help" in shell.error


@pytest.mark.parametrize("arguments", [[], ["keys"]])
def test_without_a_command_the_help_is_shown(shell: Shell, arguments: list[str]) -> None:
    assert main(arguments) == 2
    out, error = shell.capture.readouterr()
    assert (out, error.split()[:2]) == ("", ["Usage:", "lookalike"])


def test_an_option_on_the_group_is_not_lost_in_silence(shell: Shell) -> None:
    assert main(["collections", "--store", shell.store, "list"]) == 2
    assert "after list" in shell.capture.readouterr().err


def test_a_store_that_cannot_be_opened(shell: Shell) -> None:
    assert main(["stats", "--store", "ftp://somewhere/else"]) == 1
    assert "unknown scheme" in shell.capture.readouterr().err


# Processes


@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"], ["collections", "--help"]])
def test_help_is_printed(shell: Shell, arguments: list[str]) -> None:
    assert main(arguments) == 0
    assert "Usage: lookalike" in shell.capture.readouterr().out


def test_the_command_tree_imports_nothing_heavy() -> None:
    heavy = (
        "PIL",
        "pyarrow",
        "lance",
        "obstore",
        "annoy",
        "ai_edge_litert",
        "fastapi",
        "tensorflow",
        "rich.table",
    )
    program = f"import sys, lookalike.cli.app; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["lookalike", "lookalike.cli"])
def test_the_version_and_the_module_as_a_command(module: str) -> None:
    from importlib.metadata import version

    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["lookalike", version("lookalike")]


def test_a_first_key_is_created_and_printed_once_and_the_first_encoder_added(
    tmp_path: Path, tiny_encoder_folder: Path
) -> None:
    command = Command(tmp_path / "store", tmp_path)
    options = ("serve", "--port", 0, "--keys", "--first-key", "--encoder", tiny_encoder_folder)
    keys = []
    for _ in range(2):
        process = command.start(*options)
        try:
            assert process.stdout is not None
            said = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        finally:
            process.terminate()
            process.communicate(timeout=60)
        keys.append(said.get("key"))
    assert keys[0]
    assert keys[1] is None
    known = Store(str(tmp_path / "store" / "artifacts"))
    Keys(known).check(keys[0], "write")
    assert [manifest.name for manifest in Encoders(known).list()] == ["tiny"]


def test_ctrl_c_in_code_that_was_evaluated_from_a_string_is_exit_code_130(tmp_path: Path) -> None:
    """Dataclasses evaluate strings when a module is imported; Ctrl-C may come just then."""
    (tmp_path / "interrupted.py").write_text(
        "import sys\n"
        "import lookalike.cli.app as cli\n"
        "from lookalike.cli import main\n"
        "cli.app = lambda **_: exec('raise KeyboardInterrupt')\n"
        "sys.exit(main([]))\n"
    )
    command = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith("Stopped. Finished work is kept")


def test_ctrl_c_says_how_to_go_on_and_going_on_loses_nothing(shell: Shell) -> None:
    photos = shell.base / "many"
    count = 300
    write_photos(photos, count)
    command = Command(shell.store, shell.base)
    arguments = ("index", photos, "-c", NAME, "--batch", 10)
    process = command.start(*arguments)
    wait_for(lambda: len(list((Path(shell.store) / "images").rglob("*.jpg"))) >= 40, process)
    process.send_signal(signal.SIGINT)
    out, noise = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["error"]["type"] == "Interrupted"
    assert "run the same command again" in noise
    assert "Traceback" not in noise
    report = shell.json(*arguments)
    assert report["encoded"] < count, "what had been committed was kept"
    assert report["encoded"] + report["unchanged"] == count
    assert shell.json("stats")["collections"][0]["items"] == count


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_damaged_collection_is_named_and_leaves_the_others_usable(shell: Shell) -> None:
    shell.run("collections", "create", "good")
    shell.run("collections", "create", "hurt")
    path = Path(shell.store) / "artifacts" / "collections" / "hurt" / "collection.json"
    path.write_bytes(path.read_bytes().replace(b"cosine", b"round"))
    listed = shell.json("collections", "list")
    assert [each["name"] for each in listed["collections"]] == ["good"]
    assert [each["name"] for each in listed["damaged"]] == ["hurt"]
    assert "hurt is damaged" in shell.run("collections", "list")
    assert [each["collection"] for each in shell.json("stats")["collections"]] == ["good"]
    assert "hurt is left out" in shell.error
    shell.run("collections", "show", "hurt", code=1)
    shell.run("collections", "delete", "hurt", "--yes")
    assert shell.json("collections", "list")["damaged"] == []


def test_deleted_items_are_listed_restored_and_removed_for_ever(
    shop: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = Library.open(shop.store).collection(NAME)
    first, second, third = sorted(entry.id for entry in collection.neighbors(1))[:3]
    collection.remove([first, second, third])
    items = shop.json("trash", "list", "-c", NAME)["items"]
    assert [each["id"] for each in items] == [third, second, first]
    assert first in shop.run("trash", "list", "-c", NAME)
    assert shop.json("trash", "restore", "-c", NAME, first) == {"collection": NAME, "restored": 1}
    assert shop.json("search", "-c", NAME, "--id", first)["results"]
    assert shop.json("trash", "restore", "-c", NAME, first, code=1)["error"]["type"] == "ItemNotFound"
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert shop.json("trash", "empty", "-c", NAME, code=1)["error"]["fix"] == "Answer y, or pass --yes."
    assert len(shop.json("trash", "list", "-c", NAME)["items"]) == 2
    assert shop.json("trash", "empty", "-c", NAME, "--yes") == {"collection": NAME, "removed": 2}
    assert shop.json("trash", "list", "-c", NAME)["items"] == []
    shop.run("trash", "list", "-c", "none", code=1)
