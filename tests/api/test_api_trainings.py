"""Trainings over HTTP: queued, refused, watched, cancelled. See also `test_training_flow`."""

from __future__ import annotations

import asyncio
import io
import zipfile

import httpx
import pytest
from fixtures.server import add_encoder, eventually, jpeg, running

from lookalike.api.http.access import LoopbackAccess
from lookalike.api.http.app import create_app
from lookalike.api.keys import Keys
from lookalike.library import Library
from lookalike.settings import Settings
from lookalike.storage import Store
from lookalike.training_jobs import Training, Trainings

PROBLEM = "application/problem+json"


@pytest.fixture
def settings(tmp_path, tiny_encoder_folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = Settings(store=str(tmp_path / "store"))
    add_encoder(found, tiny_encoder_folder)
    return found


@pytest.fixture
def served(settings):
    with running(settings) as server:
        server.create("food")
        yield server


def zipped(names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for seed, name in enumerate(names):
            archive.writestr(name, jpeg(seed))
    return file.getvalue()


def ended(server, training_id, collection="food"):
    """The training, once it has ended."""

    def look():
        found = server.client.get(f"/collections/{collection}/trainings/{training_id}").json()
        return found if found["finished_at"] else None

    return eventually(look, seconds=240)


def refused(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    found = response.json()
    assert found["type"] == f"urn:lookalike:problem:{code}"
    return found


def test_a_source_that_teaches_nothing_fails_with_a_sentence(served):
    served.upload("food", {"bread/1.jpg": jpeg(1), "bread/2.jpg": jpeg(2)})
    served.wait_for("food", "bread/1.jpg", "bread/2.jpg")
    asked = served.client.post("/collections/food/trainings", json={"source": "collection"})
    assert asked.status_code == 202, asked.text
    assert asked.json()["upload"] is None
    training = asked.json()["training"]
    assert (training["status"], training["publish"]) == ("queued", "if_better")
    assert training["options"]["loss"] == "cosface"
    found = ended(served, training["id"])
    assert found["status"] == "failed"
    assert "only one class" in found["reason"]
    assert found["encoder"] is None
    log = served.client.get(f"/collections/food/trainings/{training['id']}/log").json()
    assert any("only one class" in line["message"] for line in log["lines"])
    listed = served.client.get("/collections/food/trainings").json()["trainings"]
    assert listed == [found]
    missing = served.client.get(f"/collections/food/trainings/{training['id']}/report")
    assert "no report" in refused(missing, 404, "training-not-found")["detail"]


def test_a_zip_file_is_waited_for_and_gone_afterwards(served):
    asked = served.client.post("/collections/food/trainings", json={"source": "zip"}).json()
    training, upload = asked["training"], asked["upload"]
    assert training["status"] == "waiting_for_upload"
    assert upload["headers"] == {"Content-Type": "application/zip"}
    done = served.client.put(upload["url"], content=zipped(["a/1.jpg", "a/2.jpg"]), headers=upload["headers"])
    assert (done.status_code, done.json()["id"]) == (200, f"{training['id']}.zip")
    found = ended(served, training["id"])
    assert found["status"] == "failed"
    assert "only one class" in found["reason"]
    # The record ends first, so that a process that is killed in between does not repeat the training.
    eventually(lambda: not list((served.images / "food").rglob("*.zip")))
    folder = Store.artifacts(served.local.settings).local_path(f"collections/food/trainings/{training['id']}")
    assert not (folder / "work").exists()


def test_what_is_no_zip_file_fails_with_a_sentence(served):
    asked = served.client.post("/collections/food/trainings", json={"source": "zip"}).json()
    served.client.put(asked["upload"]["url"], content=b"no archive", headers=asked["upload"]["headers"])
    found = ended(served, asked["training"]["id"])
    assert found["status"] == "failed"
    assert "zip" in found["reason"]


def test_a_zip_file_over_the_limit_is_refused(settings):
    with running(Settings(store=settings.store, max_zip_bytes=1_000, max_image_bytes=10_000)) as server:
        server.create("food")
        asked = server.client.post("/collections/food/trainings", json={"source": "zip"}).json()
        refused(server.client.put(asked["upload"]["url"], content=b"x" * 1_001), 413, "body-too-large")
        found = server.client.get(f"/collections/food/trainings/{asked['training']['id']}").json()
        assert found["status"] == "waiting_for_upload"


def test_one_at_a_time_in_a_collection(served):
    first = served.client.post("/collections/food/trainings", json={"source": "zip"}).json()["training"]
    second = served.client.post("/collections/food/trainings", json={"source": "collection"})
    assert first["id"] in refused(second, 409, "conflict")["detail"]
    served.create("other")
    assert served.client.post("/collections/other/trainings", json={"source": "zip"}).status_code == 202
    cancelled = served.client.delete(f"/collections/food/trainings/{first['id']}")
    assert cancelled.status_code == 202
    assert ended(served, first["id"])["status"] == "cancelled"
    assert served.client.post("/collections/food/trainings", json={"source": "zip"}).status_code == 202
    again = served.client.delete(f"/collections/food/trainings/{first['id']}")
    assert (again.status_code, again.json()["status"]) == (202, "cancelled")


def test_a_zip_file_that_comes_too_late_begins_nothing(served):
    asked = served.client.post("/collections/food/trainings", json={"source": "zip"}).json()
    served.client.delete(f"/collections/food/trainings/{asked['training']['id']}")
    assert served.client.put(asked["upload"]["url"], content=zipped(["a/1.jpg"])).status_code == 200
    assert not list((served.images / "food").rglob("*.zip"))
    found = served.client.get(f"/collections/food/trainings/{asked['training']['id']}").json()
    assert found["status"] == "cancelled"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"source": "folder"},
        {"source": "collection", "loss": "mse"},
        {"source": "collection", "dimension": 4},
        {"source": "collection", "views": "8"},
        {"source": "collection", "blend": 1.5},
        {"source": "collection", "epochs": 0},
        {"source": "collection", "publish": True},
        {"source": "collection", "backbone": "/etc/passwd"},
        {"source": "collection", "label": ""},
        {"source": "collection", "colour": "red"},
        [],
    ],
)
def test_bad_orders_are_refused(served, body):
    refused(served.client.post("/collections/food/trainings", json=body), 422, "invalid-request")
    assert served.client.get("/collections/food/trainings").json()["trainings"] == []


@pytest.mark.parametrize("training_id", ["nothing", "20260101t120500-1a2b3c", "..%2F..%2Fcollection", "ü"])
def test_unknown_trainings(served, training_id):
    for path in ("", "/log", "/report"):
        response = served.client.get(f"/collections/food/trainings/{training_id}{path}")
        assert response.status_code == 404, (path, response.text)
    assert served.client.delete(f"/collections/food/trainings/{training_id}").status_code == 404
    assert served.client.post(f"/collections/food/trainings/{training_id}/publish").status_code == 404


def test_unknown_collections(served):
    refused(
        served.client.post("/collections/fod/trainings", json={"source": "collection"}),
        404,
        "collection-not-found",
    )
    refused(served.client.get("/collections/fod/trainings"), 404, "collection-not-found")
    refused(served.client.post("/collections/fod/rollback"), 404, "collection-not-found")


def test_there_must_be_something_to_go_back_to(served):
    found = refused(served.client.post("/collections/food/rollback"), 409, "conflict")
    assert "no earlier encoder" in found["detail"]


def test_a_training_without_an_encoder_cannot_be_published(served):
    made = served.client.post("/collections/food/trainings", json={"source": "zip"}).json()["training"]
    path = f"/collections/food/trainings/{made['id']}"
    assert "waiting_for_upload" in refused(served.client.post(f"{path}/publish"), 409, "conflict")["detail"]
    served.client.delete(path)
    eventually(lambda: served.client.get(path).json()["status"] == "cancelled")
    assert "cancelled" in refused(served.client.post(f"{path}/publish"), 409, "conflict")["detail"]


def test_who_may_only_read_may_not_train(settings):
    keys = Keys(Store.artifacts(settings))
    reader = keys.create("reader", scopes=["read"]).key
    with running(settings, keys_required=True) as server:
        writer = keys.create("writer").key
        server.client.headers["X-API-Key"] = writer
        server.create("food")
        training = server.client.post("/collections/food/trainings", json={"source": "zip"}).json()[
            "training"
        ]
        server.client.headers["X-API-Key"] = reader
        assert server.client.get(f"/collections/food/trainings/{training['id']}").status_code == 200
        for response in (
            server.client.post("/collections/food/trainings", json={"source": "zip"}),
            server.client.delete(f"/collections/food/trainings/{training['id']}"),
            server.client.post(f"/collections/food/trainings/{training['id']}/publish"),
            server.client.post("/collections/food/rollback"),
        ):
            refused(response, 403, "forbidden")


def test_where_nothing_is_trained_trainings_can_be_looked_at(settings, tmp_path):
    library = Library(settings, tmp_path / "cache")
    app = create_app(library, access=LoopbackAccess())

    def ask(method, path, **options):
        async def send():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, f"/collections/food{path}", **options)

        return asyncio.run(send())

    assert ask("PUT", "", json={}).status_code == 201
    answer = refused(ask("POST", "/trainings", json={"source": "collection"}), 409, "conflict")
    assert "lookalike serve" in answer["fix"]
    made = Trainings(library.artifacts, "food").create(Training("", "food", "collection"))
    assert ask("GET", f"/trainings/{made.id}").json()["status"] == "queued"
    assert ask("DELETE", f"/trainings/{made.id}").status_code == 202
    assert Trainings(library.artifacts, "food").get(made.id).cancel_requested


def test_deleting_a_collection_ends_its_training(served):
    served.upload("food", {f"{kind}/{seed}.jpg": jpeg(seed) for kind in "ab" for seed in range(6)})
    served.wait_for("food", "b/5.jpg")
    asked = served.client.post("/collections/food/trainings", json={"source": "collection"})
    assert asked.status_code == 202
    assert served.client.delete("/collections/food").status_code == 204
    artifacts = Store.artifacts(served.local.settings)
    assert not artifacts.local_path("collections/food").exists()
    assert served.client.put("/collections/food", json={}).status_code == 201
    assert served.client.get("/collections/food/trainings").json()["trainings"] == []
