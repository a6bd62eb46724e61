"""A store that an earlier version wrote serves, ingests, rolls back and trains with the current code."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.server import eventually, running
from PIL import Image

from lookalike.api.keys import Keys
from lookalike.errors import Unauthenticated
from lookalike.ingest import Ingestor
from lookalike.layout import image_key
from lookalike.library import Library
from lookalike.publishing import rollback
from lookalike.search import Query, QueryPart, Searcher
from lookalike.settings import Settings
from lookalike.snapshots import read_switches
from lookalike.training_jobs import Trainings

PACKED = Path(__file__).parents[1] / "fixtures" / "stores" / "older_store.zip"
TRAINING_SECONDS = 600
SCORE_ERROR = 1e-5
"""Scores are dot products of 16 stored float32 numbers; processors add them in different orders."""


def opened(settings: Settings, cache: Path) -> Library:
    """The store as the library opens it."""
    return Library(settings, cache)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    with zipfile.ZipFile(PACKED) as archive:
        archive.extractall(tmp_path)
    return Settings(store=str(tmp_path / "store"), refresh_seconds=0.02)


@pytest.fixture
def library(settings: Settings, tmp_path: Path) -> Library:
    return opened(settings, tmp_path / "cache")


@pytest.fixture
def expected(settings: Settings, tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "expected.json").read_bytes())
    return found


def searcher(library: Library, collection: str) -> Searcher:
    made = Searcher(library.artifacts, collection, library.settings, library.encoders, library.cache)
    made.refresh(force=True)
    return made


def check_answers(library: Library, collection: str, encoder: str, answers: dict[str, Any]) -> None:
    """Every query finds the same items in the same order, with the same scores."""
    for item_id, pairs in answers.items():
        result = searcher(library, collection).search(Query((QueryPart("id", item_id),), limit=100))
        assert result.encoder == encoder
        assert [match.item.id for match in result.matches] == [found for found, _ in pairs]
        scores = [match.score for match in result.matches]
        np.testing.assert_allclose(scores, [score for _, score in pairs], atol=SCORE_ERROR)


def drawn(red: int, green: int, blue: int) -> bytes:
    """A PNG file of one colour with a diagonal line."""
    pixels = np.full((48, 48, 3), (red, green, blue), np.uint8)
    pixels[np.arange(48), np.arange(48)] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_it_serves(library: Library, expected: dict[str, Any]) -> None:
    assert sorted(library.collections.names()) == ["frames", "plain"]
    assert {manifest.id for manifest in library.encoders.list()} == {
        expected["encoder"],
        expected["earlier_encoder"],
    }
    for collection, answers in expected["answers"].items():
        check_answers(library, collection, expected["encoder"], answers)
    described = searcher(library, "frames").search(Query((QueryPart("id", "red/0.jpg"),), limit=100))
    items = {match.item.id: match.item for match in described.matches}
    assert items["red/1.jpg"].title == "Item 1"
    assert items["red/1.jpg"].category == "red"
    assert items["red/1.jpg"].attributes == {"price": 10}
    assert "red/late.jpg" in items  # ingested after the snapshot
    assert "grey/4.jpg" not in items  # deleted after the snapshot


def test_it_answers_for_the_bytes_of_an_image(library: Library, settings: Settings) -> None:
    for collection, item_id in (("frames", "red/2.jpg"), ("frames", "red/late.jpg"), ("plain", "blue/2.jpg")):
        data = library.images.get(image_key(collection, item_id)).data
        result = searcher(library, collection).search(Query((QueryPart("image", data),), limit=3))
        assert result.matches[0].item.id == item_id
        assert result.matches[0].score > 0.99


def test_its_keys_and_trainings_are_read(library: Library, expected: dict[str, Any]) -> None:
    keys = Keys(library.artifacts)
    assert [info.name for info in keys.list()] == ["reader"]
    assert keys.check(expected["key"], "read").name == "reader"
    with pytest.raises(Unauthenticated):
        keys.check(expected["key"][:-1], "read")
    trainings = Trainings(library.artifacts, "frames")
    [training] = trainings.all()
    assert (training.id, training.status) == (expected["training"], "succeeded")
    assert (training.encoder_id, training.published) == (expected["encoder"], True)
    assert training.metrics == {"map_at_r": 0.75}
    assert [line["message"] for line in trainings.log(training.id)] == ["trained"]


def test_it_ingests(library: Library, expected: dict[str, Any]) -> None:
    ingestor = Ingestor(
        library.images,
        library.artifacts,
        library.settings,
        lambda config: library.encoders.load(config.encoder_id),
    )
    key = image_key("frames", "teal/new.png")
    library.images.put(key, drawn(20, 130, 140))
    report = ingestor.observe("frames", [key])
    assert (report.encoded, report.failed) == (1, [])
    query = Query((QueryPart("image", drawn(20, 130, 140)),), limit=1)
    [match] = searcher(library, "frames").search(query).matches
    assert match.item.id == "teal/new.png"
    library.images.delete(image_key("frames", "red/1.jpg"))
    report = ingestor.reconcile("frames")
    assert (report.removed, report.failed) == (1, [])
    found = searcher(library, "frames").search(Query((QueryPart("id", "red/0.jpg"),), limit=100))
    ids = [match.item.id for match in found.matches]
    [_, *before] = [item_id for item_id, _ in expected["answers"]["frames"]["red/0.jpg"]]
    assert set(before) - {"red/1.jpg"} <= set(ids)
    assert "red/1.jpg" not in ids


def test_it_rolls_back_to_the_exact_earlier_answers(library: Library, expected: dict[str, Any]) -> None:
    [switch] = read_switches(library.artifacts, "frames").entries
    assert (switch.kind, switch.encoder_id) == ("publish", expected["encoder"])
    back = rollback(library, "frames")
    assert (back.encoder_id, back.snapshot) == (expected["earlier_encoder"], switch.previous_snapshot)
    # One item came and one went after the earlier answers; the others are found as before.
    changed = {"red/late.jpg", "grey/4.jpg"}
    for item_id, pairs in expected["earlier_answers"].items():
        result = searcher(library, "frames").search(Query((QueryPart("id", item_id),), limit=100))
        assert result.encoder == expected["earlier_encoder"]
        ids = [match.item.id for match in result.matches]
        assert "red/late.jpg" in ids
        assert "grey/4.jpg" not in ids
        scores = {match.item.id: match.score for match in result.matches}
        kept = [(found, score) for found, score in pairs if found not in changed]
        assert [found for found in ids if found not in changed] == [found for found, _ in kept]
        np.testing.assert_allclose(
            [scores[found] for found, _ in kept], [score for _, score in kept], atol=SCORE_ERROR
        )


def test_it_trains(
    settings: Settings, expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training on one of its collections, over HTTP; few images, so that no int8 file is made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    options = {"views": 1, "epochs": 1, "dimension": 16, "publish": "always"}
    with running(settings) as server:
        asked = server.client.post("/collections/plain/trainings", json={"source": "collection", **options})
        assert asked.status_code == 202, asked.text
        url = f"/collections/plain/trainings/{asked.json()['training']['id']}"

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = server.client.get(url).json()
            return found if found["finished_at"] else None

        training = eventually(ended, seconds=TRAINING_SECONDS)
        assert training["status"] == "succeeded", training
        assert training["published"], training["reason"]
        answer = server.search("plain", id="red/1.jpg", limit=100)
        assert answer["encoder"] == training["encoder"] != expected["encoder"]
        before = {found for found, _ in expected["answers"]["plain"]["red/1.jpg"]}
        assert {result["id"] for result in answer["results"]} == before
        back = server.client.post("/collections/plain/rollback")
        assert back.json()["encoder"] == expected["encoder"]
