"""The command line over both kinds of store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fixtures.photos import write_photos

from lookalike.cli import main
from lookalike.encoders import Encoders
from lookalike.storage import Store


def test_a_collection_lives_its_life(
    request: pytest.FixtureRequest,
    store: Store,
    tmp_path: Path,
    tiny_encoder_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if store.folder is None:
        monkeypatch.setenv("LOOKALIKE_S3_ENDPOINT", request.getfixturevalue("s3_endpoint"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments: object) -> dict[str, Any]:
        code = main([*map(str, arguments), "--store", store.url, "--json"])
        out, noise = capsys.readouterr()
        assert code == 0, f"{arguments}\n{out}\n{noise}"
        document: dict[str, Any] = json.loads(out)
        return document

    photos = tmp_path / "photos"
    ids = write_photos(photos, 16)
    run("encoders", "add", tiny_encoder_folder)
    first = run("index", photos, "-c", "shop")
    assert (first["copied"], first["encoded"], first["metadata_rows"]) == (16, 16, 16)
    again = run("index", photos, "-c", "shop")
    assert (again["copied"], again["encoded"], again["unchanged"]) == (0, 0, 16)

    answer = run("search", photos / ids[3], "-c", "shop", "-k", 3)
    assert answer["snapshot"] == first["snapshot"]
    assert answer["results"][0]["id"] == ids[3]
    assert answer["results"][0]["metadata"]["title"] == "Picture 3"
    assert run("neighbors", "-c", "shop", "-o", tmp_path / "near.json")["items"] == 16
    assert run("duplicates", "-c", "shop", "--min-score", 1.0)["items"] == 16
    assert run("stats")["collections"][0]["in_snapshot"] == 16

    run("collections", "delete", "shop", "--yes")
    left = [*Store(f"{store.url}/images", **options(store)).list("shop")]
    left += Store(f"{store.url}/artifacts", **options(store)).list("collections")
    assert left == []
    assert len(Encoders(Store(f"{store.url}/artifacts", **options(store))).list()) == 1


def options(store: Store) -> dict[str, str]:
    """How the store's roots are reached."""
    return {"s3_endpoint": store._s3_endpoint} if store.folder is None else {}
