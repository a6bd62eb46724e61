"""From a zip file over HTTP to the encoder that serves, and back, under searches."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import httpx
import pytest
from fixtures.classes import drawn_classes, zipped
from fixtures.server import add_encoder, eventually, running

from lookalike.settings import Settings

NAME = "shapes"
EACH = 10
OPTIONS = {"views": 2, "epochs": 4, "dimension": 32}
PATIENCE_SECONDS = 900


PICTURES = drawn_classes(EACH)


@pytest.fixture
def settings(tmp_path, tiny_encoder_folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = Settings(store=str(tmp_path / "store"), refresh_seconds=0.05)
    add_encoder(found, tiny_encoder_folder)  # sees colours; the classes are shapes of any colour
    return found


def fill(server):
    server.create(NAME)
    server.upload(NAME, PICTURES)
    server.wait_for(NAME, *PICTURES)
    eventually(lambda: server.client.get(f"/collections/{NAME}").json()["snapshot"])


def train(server, body):
    """Ask for a training, upload what it waits for, and return its id."""
    asked = server.client.post(f"/collections/{NAME}/trainings", json=body)
    assert asked.status_code == 202, asked.text
    upload = asked.json()["upload"]
    if upload:
        put = server.client.put(upload["url"], content=zipped(PICTURES), headers=upload["headers"])
        assert put.status_code == 200, put.text
    return asked.json()["training"]["id"]


def ended(server, training_id):
    def look():
        found = server.client.get(f"/collections/{NAME}/trainings/{training_id}").json()
        return found if found["finished_at"] else None

    return eventually(look, seconds=PATIENCE_SECONDS)


def answers(server):
    """What every fourth picture finds: encoder, and ids with their scores, in order."""
    found = []
    for item_id in list(PICTURES)[::4]:
        answer = server.search(NAME, id=item_id, limit=100)
        pairs = [(result["id"], result["score"]) for result in answer["results"]]
        found.append((answer["encoder"], pairs))
    return found


@contextmanager
def searching(server, threads=2):
    """Threads that search over HTTP; yields one list of encoders a thread, in the order of its answers."""
    stop = threading.Event()
    seen = [[] for _ in range(threads)]
    errors = []

    def search(number):
        with httpx.Client(base_url=server.url, timeout=60) as client:
            while not stop.is_set():
                by_id = client.post(f"/collections/{NAME}/search", json={"id": "disc/0.png", "limit": 3})
                file = {"image": ("x.png", PICTURES["ring/0.png"])}
                by_file = client.post(f"/collections/{NAME}/search", files=file)
                for response in (by_id, by_file):
                    if response.status_code != 200 or not response.json()["results"]:
                        errors.append(response.text)
                        return
                    seen[number].append(response.json()["encoder"])
                stop.wait(0.5)  # the training needs the processor too

    running_threads = [threading.Thread(target=search, args=(number,)) for number in range(threads)]
    for thread in running_threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in running_threads:
            thread.join()
    assert errors == []


def steps(encoders):
    """The encoders of a sequence of answers, each run of equal ones once."""
    return [encoder for place, encoder in enumerate(encoders) if place == 0 or encoders[place - 1] != encoder]


def test_from_a_zip_file_to_the_encoder_that_serves_and_back(settings):
    with running(settings) as server:
        fill(server)
        before = answers(server)
        old = before[0][0]
        with searching(server) as seen:
            training = ended(server, train(server, {"source": "zip", **OPTIONS}))
            assert training["status"] == "succeeded", training
            assert training["published"], training["reason"]
            assert training["comparison"]["new"]["map_at_r"] > training["comparison"]["old"]["map_at_r"]
            new = training["encoder"]
            assert new.startswith("efficientnet-lite0")
            eventually(lambda: all(encoders[-1] == new for encoders in seen))
            back = server.client.post(f"/collections/{NAME}/rollback")
            assert back.status_code == 200, back.text
            assert (back.json()["encoder"], back.json()["previous_encoder"]) == (old, new)
            eventually(lambda: all(encoders[-1] == old for encoders in seen))
        # Each thread saw one change there, and one back, and nothing in between.
        assert [steps(encoders) for encoders in seen] == [[old, new, old]] * len(seen)
        assert answers(server) == before
        log = server.client.get(f"/collections/{NAME}/trainings/{training['id']}/log").json()["lines"]
        assert log[0]["message"] == "running: preparing"
        page = server.client.get(training["report_url"])
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert new in page.text
        assert not list(server.images.rglob("*.zip"))

        # The next training of the same collection starts from cached features, and may decline to publish.
        again = ended(server, train(server, {"source": "collection", "publish": "never", **OPTIONS}))
        assert (again["status"], again["published"]) == ("succeeded", False), again
        assert again["reason"].startswith("not published, as requested")
        assert answers(server)[0][0] == old


def test_a_training_is_cancelled(settings):
    with running(settings) as server:
        fill(server)
        training_id = train(server, {"source": "collection", **OPTIONS, "views": 60})
        here = f"/collections/{NAME}/trainings/{training_id}"
        eventually(lambda: server.client.get(here).json()["status"] == "running", seconds=PATIENCE_SECONDS)
        assert server.client.delete(here).status_code == 202
        found = ended(server, training_id)
        assert (found["status"], found["published"]) == ("cancelled", None)
        assert server.client.post(f"/collections/{NAME}/trainings", json={"source": "zip"}).status_code == 202
