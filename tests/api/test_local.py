"""The embedded mode as a process, and its workers one by one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fixtures.server import add_encoder, eventually, jpeg, running

from lookalike.api.keys import Keys
from lookalike.collection_config import Collections
from lookalike.encoders import EncoderManifest
from lookalike.encoders.manifest import content_id
from lookalike.errors import CollectionNotFound, InvalidInput, StoreUnavailable
from lookalike.ingest import IngestReport
from lookalike.library import Library
from lookalike.local import build_process as builder
from lookalike.local import ingest_worker as worker
from lookalike.local import serve
from lookalike.local.build_process import Builder
from lookalike.local.ingest_worker import IngestWorker
from lookalike.local.server import listen
from lookalike.local.work_queue import WorkQueue
from lookalike.settings import Settings
from lookalike.snapshots import current
from lookalike.storage import Store
from lookalike.types import ObjectEvent

SERVE = """
import os, sys
from lookalike.local import serve
from lookalike.settings import Settings
serve(Settings.from_env(os.environ), port=0, announce=lambda url: print(url, flush=True))
print("done", flush=True)
"""


@pytest.fixture
def settings(tmp_path, tiny_encoder_folder):
    found = Settings(store=str(tmp_path / "store"))
    add_encoder(found, tiny_encoder_folder)
    return found


@pytest.fixture
def library(settings, tmp_path):
    return Library(settings, tmp_path / "cache")


@contextmanager
def process(settings):
    environment = {**os.environ, **settings.to_env()}
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started, started.stdout.readline().strip()
        finally:
            started.kill()


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_after_what_is_under_way(settings, signal_):
    with process(settings) as (server, url), httpx.Client(base_url=url, timeout=60) as client:
        assert client.put("/collections/food", json={}).status_code == 201
        offer = client.post("/collections/food/uploads", json=[{"name": "a.jpg"}]).json()["uploads"][0]
        half, rest = jpeg(1)[:500], jpeg(1)[500:]

        def slow():
            yield half
            # A request that the server has not begun to read is not under way yet.
            eventually(lambda: any(Path(settings.images_url).rglob(".staging/*")))
            server.send_signal(signal_)
            time.sleep(0.3)
            yield rest

        assert client.put(offer["url"], content=slow()).status_code == 200
        assert server.wait(30) in {0, -signal_}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")
    with running(settings) as again:
        again.wait_for("food", "a.jpg")


def test_a_killed_server_has_lost_nothing_that_it_acknowledged(settings):
    with process(settings) as (server, url), httpx.Client(base_url=url, timeout=60) as client:
        client.put("/collections/food", json={})
        names = [f"{number}.jpg" for number in range(20)]
        offers = client.post("/collections/food/uploads", json=[{"name": name} for name in names]).json()
        for number, offer in enumerate(offers["uploads"]):
            assert client.put(offer["url"], content=jpeg(number)).status_code == 200
        server.kill()
        server.wait()
    with running(settings) as again:
        again.wait_for("food", *names)
        assert len(again.ids("food", id="0.jpg", limit=100)) == 19
        assert not list(again.images.rglob("*.part"))


def test_a_server_for_the_network_needs_keys_and_says_how_to_make_one(settings):
    with pytest.raises(InvalidInput, match="lookalike keys create"):
        serve(settings, host="0.0.0.0", port=0)
    with pytest.raises(InvalidInput, match="this machine alone"):
        serve(settings, host="0.0.0.0", port=0, keys_required=False)
    with pytest.raises(InvalidInput, match="lookalike keys create"):
        serve(settings, keys_required=True, port=0)
    assert Keys(Store.artifacts(settings)).list() == []


def test_a_port_that_is_taken(settings):
    with listen("127.0.0.1", 0) as taken, pytest.raises(InvalidInput, match="--port"):
        serve(settings, port=taken.getsockname()[1])


def test_small_answers_are_sent_at_once():
    with listen("127.0.0.1", 0) as listening:
        client = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
        # asyncio switches Nagle's algorithm off for sockets of this protocol only.
        assert accepted.proto == socket.IPPROTO_TCP
        client.close()
        accepted.close()


# Lanes


def test_a_lane_does_each_name_once_however_often_it_is_asked_before():
    begun, go, done = threading.Event(), threading.Event(), []

    def work(name):
        begun.set()
        go.wait()
        done.append(name)

    lane = WorkQueue("test", work)
    lane.start()
    lane.request("first")
    begun.wait()
    for name in ("a", "b", "a", "b", "first"):
        lane.request(name)
    go.set()
    eventually(lambda: len(done) >= 4)
    lane.close(10)
    assert done == ["first", "a", "b", "first"]


def test_a_lane_goes_on_after_a_failure():
    done = []

    def work(name):
        if name == "bad":
            raise RuntimeError("bad")
        done.append(name)

    lane = WorkQueue("test", work)
    lane.start()
    for name in ("bad", "good"):
        lane.request(name)
    eventually(lambda: done == ["good"])
    lane.close(10)


def test_a_lane_begins_nothing_after_it_was_closed():
    done = []
    lane = WorkQueue("test", done.append)
    lane.start()
    lane.close(10)
    lane.request("late")
    assert done == []


def test_a_lane_looks_after_all_names_by_itself():
    done = []
    lane = WorkQueue("test", done.append, every_seconds=0.01, names=lambda: ["a", "b"])
    lane.start()
    eventually(lambda: {"a", "b"} <= set(done))
    lane.close(10)


# The worker


class Flaky:
    """Stands where the ingestor is, and fails as often as it is told to."""

    def __init__(self, *, failures: int, error: Exception, whole: bool) -> None:
        self.failures = failures
        self.error = error
        self.whole = whole
        self.seen: list[list[str]] = []

    def observe(self, collection, keys):
        self.seen.append(list(keys))
        report = IngestReport()
        if self.failures:
            self.failures -= 1
            if self.whole:
                raise self.error
            events = [ObjectEvent(collection, key, "created", "1") for key in keys]
            report.failed += [(events[0], self.error)]
        return report


@pytest.fixture
def quick_retries(monkeypatch):
    monkeypatch.setattr(worker, "RETRY_SECONDS", (0.01, 0.01))


@pytest.mark.parametrize("whole", [True, False])
def test_what_failed_is_tried_again_but_not_for_ever(quick_retries, whole):
    for failures, attempts in ((1, 2), (2, 3), (9, 3)):
        flaky = Flaky(failures=failures, error=StoreUnavailable("away"), whole=whole)
        ingested = []
        ingest = IngestWorker(flaky, ingested=ingested.append, unknown=pytest.fail)
        ingest.start()
        ingest.objects_changed(["c/images/a.jpg"])
        eventually(lambda flaky=flaky, attempts=attempts: len(flaky.seen) == attempts)
        time.sleep(0.1)
        ingest.close(10)
        assert flaky.seen == [["c/images/a.jpg"]] * attempts


def test_keys_of_a_collection_that_is_gone_are_dropped(quick_retries):
    flaky = Flaky(failures=9, error=CollectionNotFound("gone"), whole=True)
    unknown = []
    ingest = IngestWorker(flaky, ingested=pytest.fail, unknown=unknown.append)
    ingest.start()
    ingest.objects_changed(["gone/images/a.jpg"], wait_seconds=10)
    time.sleep(0.1)
    ingest.close(10)
    assert len(flaky.seen) == 1
    assert unknown == ["gone"]


def test_many_keys_are_taken_in_batches_and_who_waits_waits_for_the_last():
    flaky = Flaky(failures=0, error=StoreUnavailable(""), whole=True)
    ingest = IngestWorker(flaky, ingested=lambda _: None, unknown=pytest.fail)
    keys = [f"c/images/{number}.jpg" for number in range(150)]
    seen_when_done = []

    def wait():
        ingest.objects_changed(keys, wait_seconds=60)
        seen_when_done.append(sum(map(len, flaky.seen)))

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: ingest._urgent)
    ingest.start()
    waiting.join()
    assert seen_when_done == [len(keys)]
    assert [key for batch in flaky.seen for key in batch] == keys
    assert max(len(batch) for batch in flaky.seen) == worker.BATCH_KEYS
    ingest.close(10)


def test_uploads_and_dropped_files_take_turns():
    flaky = Flaky(failures=0, error=StoreUnavailable(""), whole=True)
    ingest = IngestWorker(flaky, ingested=lambda _: None, unknown=pytest.fail)
    ingest.notice([f"c/images/dropped/{number}.jpg" for number in range(200)])
    for collection in ("c", "d", "e"):
        ingest.objects_changed([f"{collection}/images/upload.jpg"])
    ingest.start()
    eventually(lambda: sum(map(len, flaky.seen)) == 203)
    ingest.close(10)
    assert [len(batch) for batch in flaky.seen] == [1, 64, 1, 64, 1, 64, 8]


def test_a_folder_that_is_no_collection_is_hinted_at_once(settings, caplog):
    with running(settings) as server:
        for name in ("a.jpg", "b.jpg"):
            folder = server.images / "stray" / "images"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(jpeg(1))
            eventually(lambda: "PUT /collections/stray" in caplog.text)
        server.create("stray")
        server.wait_for("stray", "a.jpg", "b.jpg")
    assert caplog.text.count("PUT /collections/stray") == 1


# The builder


@pytest.fixture
def food(settings):
    """A collection with pictures, a snapshot, and no server any more."""
    with running(settings) as server:
        server.create("food")
        server.upload("food", {f"{number}.jpg": jpeg(number) for number in range(3)})
        server.wait_for("food", "0.jpg", "1.jpg", "2.jpg")
        eventually(lambda: server.client.get("/collections/food").json()["snapshot"])
    return Store.artifacts(settings)


def test_a_snapshot_that_is_up_to_date_is_not_built_again(library, food):
    before = current(food, "food").id
    assert not Builder(library).build_if_needed("food")
    assert current(food, "food").id == before
    assert not Builder(library).build_if_needed("nothing-of-this-name")


def test_a_large_snapshot_is_built_in_a_process_of_its_own(library, food, monkeypatch):
    monkeypatch.setattr(builder, "SMALL_ITEMS", 0)
    Collections(food).update("food", engine="exact")
    before = current(food, "food")
    assert Builder(library).build_if_needed("food")
    after = current(food, "food")
    assert (before.options.engine, after.options.engine) == ("annoy", "exact")
    assert after.count == 3


def test_nothing_is_built_of_a_collection_that_is_being_deleted(library, food):
    Collections(food).update("food", engine="exact")
    found = Builder(library)
    with found.paused("food"):
        assert not found.build_if_needed("food")
    assert found.build_if_needed("food")


def test_deleting_a_collection_ends_its_build(library, food, monkeypatch):
    monkeypatch.setattr(builder, "SMALL_ITEMS", 0)
    Collections(food).update("food", engine="exact")
    before = current(food, "food").id
    found = Builder(library)
    results = []
    thread = threading.Thread(target=lambda: results.append(found.build_if_needed("food")))
    thread.start()
    eventually(lambda: found._process)
    with found.paused("food"):
        thread.join()
        assert current(food, "food").id == before
    assert results == [False]


def test_another_encoder_takes_over_once_everything_is_encoded(settings, tiny_encoder_folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_encoder_folder, other)
    manifest = EncoderManifest.read(other)
    wanted = next(precision for precision in manifest.precisions if precision != manifest.default_precision)
    changed = replace(manifest, default_precision=wanted)
    (other / "encoder.json").write_bytes(replace(changed, id=content_id(changed)).dump())
    with running(settings) as server:
        server.create("food")
        server.upload("food", {f"{number}.jpg": jpeg(number) for number in range(3)})
        server.wait_for("food", "0.jpg", "1.jpg", "2.jpg")
        # Before the first snapshot there is no old state to keep.
        eventually(
            lambda: (now := server.client.get("/collections/food").json()["snapshot"]) and now["items"]
        )
        first = server.search("food", id="0.jpg")
        second = add_encoder(settings, other)
        assert second != first["encoder"]
        answer = server.client.put("/collections/food", json={"encoder": second})
        assert (answer.status_code, answer.json()["encoder"]) == (200, second)
        found = eventually(lambda: (now := server.search("food", id="0.jpg"))["encoder"] == second and now)
        assert [match["id"] for match in found["results"]] == [match["id"] for match in first["results"]]
        assert server.client.get("/collections/food").json()["snapshot"]["items"] == 3
