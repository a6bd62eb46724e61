"""Events → catalogue, on a real folder with a real encoder: nothing lost, nothing twice, any order."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike.catalogue import Catalogue, CatalogueVersion, ItemRow, MetadataProblem, normalise_sequencer
from lookalike.collection_config import CollectionConfig, Collections
from lookalike.encoders import Encoder, EncoderManifest
from lookalike.encoders.manifest import content_id
from lookalike.errors import CollectionNotFound, EncoderNotFound, InvalidInput, StoreUnavailable
from lookalike.ingest import Ingestor, IngestReport
from lookalike.ingest.ingestor import BATCH_EVENTS
from lookalike.layout import image_key, metadata_key, parse_key
from lookalike.metadata import MetadataRow, MetadataTable
from lookalike.settings import Settings
from lookalike.snapshots.staleness import has_enough_changes
from lookalike.storage import Store
from lookalike.types import ObjectEvent, Pixels, Vectors

WORKER = Path(__file__).parents[1] / "fixtures" / "ingest_worker.py"
BROKEN = b"\xff\xd8\xff\xe0 this was a JPEG once"


@functools.cache
def picture(colour: int) -> bytes:
    """A small picture; another one for every number."""
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), (colour % 256, colour // 256 * 16, 255 - colour % 256)).save(buffer, "PNG")
    return buffer.getvalue()


class CountingEncoder(Encoder):
    """A real encoder that counts what it encodes."""

    def __init__(self, folder: Path, name: str = "tiny") -> None:
        manifest = EncoderManifest.read(folder)
        renamed = replace(manifest, name=name)
        super().__init__(replace(renamed, id=content_id(renamed)), folder / manifest.precision(None).file)
        self.folder = folder
        self.encoded = 0
        self._lock = threading.Lock()

    def encode(self, images: Sequence[Pixels]) -> Vectors:  # type: ignore[override]
        with self._lock:
            self.encoded += len(images)
        return super().encode(images)


@dataclass
class World:
    """A store with one collection, and what ingests into it."""

    settings: Settings
    images: Store
    artifacts: Store
    encoder: CountingEncoder
    ingestor: Ingestor
    catalogue: Catalogue

    def put(self, item_id: str, data: bytes) -> None:
        self.images.put(image_key("food", item_id), data)

    def delete(self, item_id: str) -> None:
        self.images.delete(image_key("food", item_id))

    def seen(self) -> dict[str, str]:
        """Content hash of every visible item."""
        ids = [item.id for batch in self.catalogue.scan() for item in batch.items]
        assert len(ids) == len(set(ids))
        known = self.catalogue.known_vectors(ids)
        rows = self.catalogue.known(ids)
        assert {name: rows[name].content_hash for name in ids} == {name: known[name][1] for name in ids}
        return {name: rows[name].content_hash for name in ids}


def make_world(folder: Path, encoder: CountingEncoder, **options: int) -> World:
    chosen = Settings(store=str(folder), **options)  # type: ignore[arg-type]
    images, artifacts = Store.images(chosen), Store.artifacts(chosen)
    Collections(artifacts).create(CollectionConfig("food", encoder.manifest.id))
    ingestor = Ingestor(images, artifacts, chosen, lambda config: encoder)
    return World(chosen, images, artifacts, encoder, ingestor, ingestor.catalogue("food"))


@pytest.fixture
def encoder(tiny_encoder_folder: Path) -> CountingEncoder:
    return CountingEncoder(tiny_encoder_folder)


@pytest.fixture
def world(tmp_path: Path, encoder: CountingEncoder) -> World:
    return make_world(tmp_path / "store", encoder)


def created(item_id: str, sequencer: str) -> ObjectEvent:
    return ObjectEvent("food", image_key("food", item_id), "created", sequencer)


def removed(item_id: str, sequencer: str) -> ObjectEvent:
    return ObjectEvent("food", image_key("food", item_id), "removed", sequencer)


def described(file: str, sequencer: str) -> ObjectEvent:
    return ObjectEvent("food", metadata_key("food", file), "created", sequencer)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def counts(report: IngestReport) -> dict[str, int]:
    """The counters that are not zero."""
    assert report.failed == []
    names = ("encoded", "reused", "removed", "unchanged", "rejected", "missing", "ignored", "metadata_files")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


# One batch


def test_objects_become_items(world: World, tmp_path: Path) -> None:
    world.put("fruit/red.png", picture(200))
    world.put("top.png", picture(3))
    world.put("broken.jpg", BROKEN)
    world.images.put(metadata_key("food", "m.csv"), b"file,title,price\nfruit/red.png,Red,1.5\n,none,2\n")
    report = world.ingestor.apply(
        [
            created("fruit/red.png", "1"),
            created("top.png", "1"),
            created("broken.jpg", "1"),
            created("never-there.png", "1"),
            described("m.csv", "1"),
            ObjectEvent("food", "food/training/pack.zip", "created", "1"),
        ]
    )
    assert counts(report) == {"encoded": 2, "rejected": 1, "missing": 1, "ignored": 1, "metadata_files": 1}
    assert (report.metadata_rows, report.changed) == (1, 4)
    assert report.metadata_problems == [MetadataProblem("m.csv", 3, "no usable file; skipped")]
    assert report.metadata_problems == world.catalogue.metadata_problems()
    item = world.catalogue.item("fruit/red.png")
    assert (item.title, item.category, item.attributes) == ("Red", "fruit", {"price": 1.5})
    assert (item.width, item.height) == (12, 10)
    ids, vectors = world.catalogue.vectors(["fruit/red.png", "top.png"])
    assert ids == ["fruit/red.png", "top.png"]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    rejection = world.catalogue.rejections()[0]
    assert (rejection.id, rejection.reason) == ("broken.jpg", "undecodable")
    assert set(world.catalogue.known()) == {"fruit/red.png", "top.png", "broken.jpg"}


def test_events_that_come_twice_change_nothing(world: World) -> None:
    world.put("a.png", picture(1))
    world.put("b.jpg", BROKEN)
    world.images.put(metadata_key("food", "m.csv"), b"file,title\na.png,A\n")
    events = [created("a.png", "1"), created("b.jpg", "1"), removed("c.png", "1"), described("m.csv", "1")]
    world.ingestor.apply(events)
    version = world.catalogue.version()
    assert counts(world.ingestor.apply(events)) == {"unchanged": 4}
    assert counts(world.ingestor.apply(events + events)) == {"unchanged": 8}
    assert world.catalogue.version() == version
    assert world.encoder.encoded == 1


def test_a_removal_may_come_before_its_creation(world: World) -> None:
    world.put("a.png", picture(1))
    assert counts(world.ingestor.apply([removed("a.png", "2")])) == {"removed": 1}
    assert counts(world.ingestor.apply([created("a.png", "1")])) == {"unchanged": 1}
    assert world.seen() == {}
    assert counts(world.ingestor.apply([created("a.png", "3"), removed("a.png", "2")])) == {
        "encoded": 1,
        "unchanged": 1,
    }
    assert world.seen() == {"a.png": digest(picture(1))}


def test_a_replaced_picture_is_encoded_anew(world: World) -> None:
    world.put("a.png", picture(1))
    world.ingestor.apply([created("a.png", "1")])
    world.put("a.png", picture(2))
    assert counts(world.ingestor.apply([created("a.png", "2")])) == {"encoded": 1}
    assert world.seen() == {"a.png": digest(picture(2))}
    world.put("a.png", BROKEN)
    assert counts(world.ingestor.apply([created("a.png", "3")])) == {"rejected": 1}
    assert world.seen() == {}
    world.put("a.png", picture(2))
    assert counts(world.ingestor.apply([created("a.png", "4")])) == {"reused": 1}
    assert world.seen() == {"a.png": digest(picture(2))}
    assert world.encoder.encoded == 2


def test_known_bytes_keep_their_vector_against_a_slower_worker(world: World) -> None:
    """The vector's sequencer rises with the event, so that an older event cannot replace it any more."""
    world.put("a.png", picture(1))
    world.ingestor.apply([created("a.png", "1")])
    assert counts(world.ingestor.apply([created("a.png", "3")])) == {"reused": 1}
    slower = np.ones((1, world.catalogue.dimension), np.float32)
    world.catalogue.put_vectors(["a.png"], ["2"], [digest(picture(2))], slower)
    world.catalogue.put_items([ItemRow("a.png", "2", content_hash=digest(picture(2)))])
    assert world.seen() == {"a.png": digest(picture(1))}
    assert world.encoder.encoded == 1


def test_a_crash_between_the_commits_costs_no_second_encoding(world: World) -> None:
    world.put("a.png", picture(1))
    vector = np.full((1, world.catalogue.dimension), 0.25, np.float32)
    world.catalogue.put_vectors(["a.png"], ["1"], [digest(picture(1))], vector)
    assert world.seen() == {}
    assert counts(world.ingestor.apply([created("a.png", "1")])) == {"reused": 1}
    assert world.encoder.encoded == 0
    assert world.catalogue.vectors(["a.png"])[1].tolist() == vector.tolist()
    assert world.catalogue.item("a.png").width == 12


def test_an_object_that_fails_fails_alone(world: World) -> None:
    """A link to itself stands for an object that cannot be read now."""
    names = [f"{number}.png" for number in range(8)]
    for number, name in enumerate(names):
        world.put(name, picture(number))
    path = world.images.local_path(image_key("food", "stuck.png"))
    assert path is not None
    path.symlink_to(path)
    events = [created(name, "1") for name in [*names, "stuck.png"]]
    report = world.ingestor.apply(events)
    assert report.encoded == 8
    assert [(event.key, type(error)) for event, error in report.failed] == [
        ("food/images/stuck.png", StoreUnavailable)
    ]
    assert set(world.seen()) == set(names)
    path.unlink()
    world.put("stuck.png", picture(99))
    assert counts(world.ingestor.apply([event for event, _ in report.failed])) == {"encoded": 1}


def test_a_collection_that_is_not_there_fails_its_events_only(world: World) -> None:
    world.put("a.png", picture(1))
    stray = ObjectEvent("foood", "foood/images/a.png", "created", "1")
    report = world.ingestor.apply([stray, created("a.png", "1")])
    assert report.encoded == 1
    assert [(event, type(error)) for event, error in report.failed] == [(stray, CollectionNotFound)]
    with pytest.raises(CollectionNotFound):
        world.ingestor.reconcile("foood")


def test_a_missing_encoder_fails_the_events(world: World) -> None:
    def no_encoder(config: CollectionConfig) -> Encoder:
        raise EncoderNotFound("no encoder", got=config.encoder_id)

    ingestor = Ingestor(world.images, world.artifacts, world.settings, no_encoder)
    report = ingestor.apply([created("a.png", "1"), created("b.png", "1")])
    assert [type(error) for _, error in report.failed] == [EncoderNotFound] * 2


def test_a_sequencer_that_orders_nothing_fails_its_event(world: World) -> None:
    world.put("a.png", picture(1))
    report = world.ingestor.apply([created("a.png", "yesterday"), created("a.png", "1")])
    assert report.encoded == 1
    assert [type(error) for _, error in report.failed] == [InvalidInput]


def test_events_of_many_batches_report_their_progress(world: World) -> None:
    names = [f"{number}.png" for number in range(BATCH_EVENTS + 20)]
    for number, name in enumerate(names):
        world.put(name, picture(number % 50))
    told: list[tuple[int, int]] = []
    events = [created(name, "1") for name in names] + [created(names[0], "1")]
    report = world.ingestor.apply(events, progress=lambda done, total: told.append((done, total)))
    assert report.encoded == len(names)
    assert told == [(1, len(events)), (BATCH_EVENTS + 1, len(events)), (len(events), len(events))]
    assert len(world.seen()) == len(names)


def test_limits_are_the_settings(tmp_path: Path, encoder: CountingEncoder) -> None:
    world = make_world(tmp_path / "store", encoder, max_image_bytes=1_000, max_image_pixels=500)
    world.put("heavy.png", picture(1) + b"\0" * 1_000)
    world.put("empty.png", b"")
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20)).save(buffer, "PNG")
    world.put("wide.png", buffer.getvalue())
    world.put("fits.png", picture(2))
    assert counts(world.ingestor.reconcile("food")) == {"encoded": 1, "rejected": 3}
    reasons = {rejection.id: rejection.reason for rejection in world.catalogue.rejections()}
    assert reasons == {"heavy.png": "too_many_bytes", "empty.png": "empty", "wide.png": "too_many_pixels"}
    assert counts(world.ingestor.reconcile("food")) == {"unchanged": 4}


# Metadata


def test_metadata_files_are_replaced_and_removed(world: World) -> None:
    world.put("a.png", picture(1))
    world.images.put(metadata_key("food", "m.csv"), b"file,title\na.png,One\n")
    world.ingestor.apply([created("a.png", "1"), described("m.csv", "2")])
    world.images.put(metadata_key("food", "m.csv"), b"file,title\na.png,Two\n")
    assert counts(world.ingestor.apply([described("m.csv", "1")])) == {"unchanged": 1}
    assert world.catalogue.item("a.png").title == "One"
    world.ingestor.apply([described("m.csv", "3")])
    assert world.catalogue.item("a.png").title == "Two"
    gone = ObjectEvent("food", metadata_key("food", "m.csv"), "removed", "4")
    assert counts(world.ingestor.apply([gone])) == {"metadata_files": 1}
    assert world.catalogue.item("a.png").title is None
    assert counts(world.ingestor.apply([described("m.csv", "3")])) == {"unchanged": 1}


def test_a_metadata_file_that_is_no_table_is_one_problem(world: World) -> None:
    world.images.put(metadata_key("food", "m.csv"), b"name,price\nx,1\n")
    world.images.put(metadata_key("food", "m.parquet"), b"not parquet")
    report = world.ingestor.reconcile("food")
    assert counts(report) == {"metadata_files": 2}
    assert [(problem.file, problem.row) for problem in report.metadata_problems] == [
        ("m.csv", 0),
        ("m.parquet", 0),
    ]
    assert report.metadata_problems == world.catalogue.metadata_problems()
    assert counts(world.ingestor.reconcile("food")) == {"unchanged": 2}


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("food/images/a/b.jpg", ("image", "a/b.jpg")),
        ("food/images/x", ("image", "x")),
        ("food/metadata/m.csv", ("metadata", "m.csv")),
        ("food/metadata/deep/m.jsonl", ("metadata", "deep/m.jsonl")),
        ("food/metadata/readme.txt", None),
        ("food/images/", None),
        ("food/images/a/", None),
        ("food/images", None),
        ("food/images/.DS_Store", None),
        ("food/images/.cache/a.jpg", None),
        ("food/training/x.zip", ("training", "x")),
        ("food/training/x.txt", None),
        ("foods/images/a.jpg", None),
        ("images/a.jpg", None),
        ("", None),
    ],
)
def test_what_a_key_means(key: str, place: tuple[str, str] | None) -> None:
    assert parse_key("food", key) == place


# Another encoder


def test_a_new_encoder_encodes_what_is_live(world: World) -> None:
    events = [created("a.png", "1"), created("b.png", "1"), created("bad.jpg", "1"), removed("c.png", "1")]
    for name, data in (("a.png", picture(1)), ("b.png", picture(2)), ("bad.jpg", BROKEN)):
        world.put(name, data)
    world.ingestor.apply(events)
    other = CountingEncoder(world.encoder.folder, name="other")
    ingestor = Ingestor(world.images, world.artifacts, world.settings, lambda config: other)
    assert counts(ingestor.reconcile("food")) == {"encoded": 2, "unchanged": 1}
    assert counts(ingestor.apply(events)) == {"unchanged": 4}
    catalogue = ingestor.catalogue("food")
    assert catalogue.encoder_id == other.manifest.id != world.encoder.manifest.id
    assert [item.id for batch in catalogue.scan() for item in batch.items] == ["a.png", "b.png"]
    assert set(world.seen()) == {"a.png", "b.png"}


# Looking instead of listening


def test_reconcile_repairs_whatever_was_missed(world: World) -> None:
    world.put("old.png", picture(1))
    world.put("kept.png", picture(2))
    world.put("bad.jpg", BROKEN)
    world.images.put(metadata_key("food", "m.csv"), b"file,title\nkept.png,One\n")
    world.images.put(metadata_key("food", "gone.csv"), b"file,product_id\nkept.png,P\n")
    assert counts(world.ingestor.reconcile("food")) == {"encoded": 2, "rejected": 1, "metadata_files": 2}
    assert counts(world.ingestor.reconcile("food")) == {"unchanged": 5}

    world.delete("old.png")
    world.delete("bad.jpg")
    world.put("kept.png", picture(3))
    world.put("new.png", picture(4))
    world.images.put(metadata_key("food", "m.csv"), b"file,title\nkept.png,Two\n")
    world.images.delete(metadata_key("food", "gone.csv"))
    assert counts(world.ingestor.reconcile("food")) == {"encoded": 2, "removed": 2, "metadata_files": 2}
    assert world.seen() == {"kept.png": digest(picture(3)), "new.png": digest(picture(4))}
    item = world.catalogue.item("kept.png")
    assert (item.title, item.product_id) == ("Two", None)
    assert world.catalogue.rejections() == []
    assert counts(world.ingestor.reconcile("food")) == {"unchanged": 3}

    world.put("old.png", picture(1))
    assert counts(world.ingestor.reconcile("food")) == {"reused": 1, "unchanged": 3}


def test_a_touched_file_is_read_but_not_encoded(world: World) -> None:
    world.put("a.png", picture(1))
    world.ingestor.reconcile("food")
    path = world.images.local_path(image_key("food", "a.png"))
    assert path is not None
    os.utime(path, (1, 1))
    assert counts(world.ingestor.reconcile("food")) == {"reused": 1}
    assert counts(world.ingestor.reconcile("food")) == {"unchanged": 1}
    assert world.encoder.encoded == 1


def test_a_repair_gives_way_to_later_events_only(world: World) -> None:
    world.put("a.png", picture(1))
    world.ingestor.apply([created("a.png", "00aa")])
    world.delete("a.png")
    assert counts(world.ingestor.reconcile("food")) == {"removed": 1}
    world.put("a.png", picture(2))
    assert counts(world.ingestor.apply([created("a.png", "00aa")])) == {"unchanged": 1}
    assert counts(world.ingestor.apply([created("a.png", "00ab")])) == {"encoded": 1}
    assert world.catalogue.known()["a.png"].sequencer == normalise_sequencer("00ab")


def test_observed_keys_are_brought_up_to_date(world: World) -> None:
    keys = [image_key("food", name) for name in ("a.png", "b.png", ".hidden.png")]
    keys += [metadata_key("food", "m.csv"), "food/elsewhere/x"]
    assert counts(world.ingestor.observe("food", keys)) == {}
    world.put("a.png", picture(1))
    world.put("b.png", picture(2))
    world.images.put(metadata_key("food", "m.csv"), b"file,title\na.png,A\n")
    assert counts(world.ingestor.observe("food", [keys[0], keys[0], *keys[2:]])) == {
        "encoded": 1,
        "metadata_files": 1,
    }
    assert set(world.seen()) == {"a.png"}
    world.delete("a.png")
    world.images.delete(metadata_key("food", "m.csv"))
    assert counts(world.ingestor.observe("food", keys)) == {"encoded": 1, "removed": 1, "metadata_files": 1}
    assert set(world.seen()) == {"b.png"}
    assert counts(world.ingestor.observe("food", keys)) == {"unchanged": 1}


def test_a_clock_that_ran_ahead_hides_no_change(world: World) -> None:
    """A folder's sequencers are times of change; one below what is known must not lose a change."""
    world.put("a.png", picture(1))
    world.put("b.png", picture(1))
    world.ingestor.apply([created("a.png", "ffff"), removed("b.png", "ffff")])
    world.put("a.png", picture(2))
    assert counts(world.ingestor.observe("food", [image_key("food", "a.png")])) == {"encoded": 1}
    assert counts(world.ingestor.reconcile("food")) == {"encoded": 1, "unchanged": 1}
    assert world.seen() == {"a.png": digest(picture(2)), "b.png": digest(picture(1))}


# Any order, any number of times

IDS = ("a/1.png", "a/2.png", "3.png")
CONTENTS = (picture(1), picture(2), BROKEN)


@dataclass(frozen=True)
class History:
    """What happened to a bucket, and when each event was delivered (after which step, at least once)."""

    steps: tuple[tuple[str, int | None], ...]
    deliveries: tuple[tuple[int, int], ...]


@st.composite
def histories(draw: st.DrawFn) -> History:
    contents = st.sampled_from([0, 0, 1, 2, None])
    steps = draw(st.lists(st.tuples(st.sampled_from(IDS), contents), min_size=1, max_size=7))
    deliveries = []
    for step in range(len(steps)):
        # Mostly late, some at once, some twice; never before it happened.
        times = draw(st.lists(st.integers(step, len(steps)) | st.just(len(steps)), min_size=1, max_size=2))
        deliveries += [(moment, step) for moment in times]
    return History(tuple(steps), tuple(draw(st.permutations(deliveries))))


def play(world: World, history: History) -> dict[str, bytes]:
    """Let the history happen, with its deliveries in between; returns the bucket's true end state."""
    bucket: dict[str, bytes] = {}
    for now in range(len(history.steps) + 1):
        if now < len(history.steps):
            item_id, content = history.steps[now]
            if content is None:
                bucket.pop(item_id, None)
                world.delete(item_id)
            else:
                bucket[item_id] = CONTENTS[content]
                world.put(item_id, CONTENTS[content])
        events = []
        for moment, step in history.deliveries:
            if moment == now:
                item_id, content = history.steps[step]
                make = removed if content is None else created
                events.append(make(item_id, f"{step + 1:04x}"))
        if events:
            assert world.ingestor.apply(events).failed == []
    return bucket


def assert_agrees(world: World, bucket: dict[str, bytes]) -> None:
    good = {name: digest(data) for name, data in bucket.items() if data != BROKEN}
    assert world.seen() == good
    rejected = {name for name, data in bucket.items() if data == BROKEN}
    assert {rejection.id for rejection in world.catalogue.rejections()} == rejected


PROPERTY = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@PROPERTY
@given(history=histories())
def test_events_in_any_order_end_in_the_buckets_state(
    tmp_path_factory: pytest.TempPathFactory, encoder: CountingEncoder, history: History
) -> None:
    world = make_world(tmp_path_factory.mktemp("history"), encoder)
    assert_agrees(world, play(world, history))
    assert world.ingestor.reconcile("food").changed == 0


@PROPERTY
@given(history=histories(), lost=st.sets(st.integers(0, 6)))
def test_reconcile_makes_good_for_any_lost_events(
    tmp_path_factory: pytest.TempPathFactory, encoder: CountingEncoder, history: History, lost: set[int]
) -> None:
    world = make_world(tmp_path_factory.mktemp("history"), encoder)
    kept = tuple(delivery for delivery in history.deliveries if delivery[1] not in lost)
    bucket = play(world, History(history.steps, kept))
    world.ingestor.reconcile("food")
    assert_agrees(world, bucket)
    assert world.ingestor.reconcile("food").changed == 0


# Several processes, and their sudden ends


class Worker:
    """A process that reconciles the collection when told to."""

    def __init__(self, world: World) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), world.settings.store, "food", str(world.encoder.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def wait_for_a_batch(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def start(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def report(self) -> list[int]:
        out, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == 0
        found = json.loads(out.splitlines()[-1])
        assert isinstance(found, list)
        return found


def fill(world: World, count: int) -> dict[str, str]:
    expected = {}
    for number in range(count):
        world.put(f"{number % 5}/{number:04}.png", picture(number))
        expected[f"{number % 5}/{number:04}.png"] = digest(picture(number))
    return expected


def test_four_processes_into_one_collection_at_once(world: World) -> None:
    """From no table at all; each sees the same files, and each file becomes one row."""
    expected = fill(world, 400)
    workers = [Worker(world) for _ in range(4)]
    for worker in workers:
        worker.wait_until_ready()
    for worker in workers:
        worker.start()
    reports = [worker.report() for worker in workers]
    assert [report[3] for report in reports] == [0] * 4
    assert all(sum(report[:3]) == 400 for report in reports)
    assert world.seen() == expected
    stats = world.catalogue.stats()
    assert (stats.live, stats.vectors, stats.rejected, stats.removed) == (400, 400, 0, 0)
    assert counts(world.ingestor.reconcile("food")) == {"unchanged": 400}


def test_killed_at_any_moment_and_run_again(world: World) -> None:
    """What was committed before each kill is not encoded again; the end is every picture exactly once."""
    expected = fill(world, 3 * BATCH_EVENTS)
    chance = random.Random(7)
    for after_first_batch in (False, False, True, True):
        worker = Worker(world)
        worker.wait_until_ready()
        worker.start()
        if after_first_batch:
            worker.wait_for_a_batch()
        time.sleep(chance.uniform(0, 0.3))
        worker.process.kill()
        worker.process.communicate()
    committed = len(world.catalogue.known_vectors())
    assert committed >= BATCH_EVENTS
    report = world.ingestor.reconcile("food")
    assert report.failed == []
    assert report.encoded == world.encoder.encoded == len(expected) - committed
    assert world.seen() == expected


# When to build


def put_row(catalogue: Catalogue, item_id: str, at: datetime) -> None:
    catalogue.put_vectors([item_id], ["1"], ["h"], np.ones((1, catalogue.dimension), np.float32))
    catalogue.put_items([ItemRow(item_id, "1", ingested_at=at.isoformat())])


def test_a_build_is_asked_for_by_rows_by_fraction_and_by_age(world: World) -> None:
    catalogue, now = world.catalogue, datetime.now(UTC)
    limits = Settings(delta_rows=2, delta_fraction=0.1, delta_age_seconds=3_600)
    assert not has_enough_changes(catalogue, None, 0, limits)
    put_row(catalogue, "a", now)
    assert has_enough_changes(catalogue, None, 0, limits)
    built = catalogue.version()
    assert not has_enough_changes(catalogue, built, 2, limits)
    for name in ("b", "c"):
        put_row(catalogue, name, now)
    assert not has_enough_changes(catalogue, built, 2, limits)
    put_row(catalogue, "d", now)
    assert has_enough_changes(catalogue, built, 2, limits)
    assert not has_enough_changes(catalogue, built, 30, limits)
    assert has_enough_changes(catalogue, built, 29, limits)
    put_row(catalogue, "old", now - timedelta(hours=2))
    assert has_enough_changes(catalogue, built, 1_000, limits)


def test_a_small_collection_is_built_again_when_it_has_doubled(world: World) -> None:
    catalogue, now = world.catalogue, datetime.now(UTC)
    put_row(catalogue, "first", now)
    built, count, builds = catalogue.version(), 1, 1
    for number in range(40):
        put_row(catalogue, str(number), now)
        if has_enough_changes(catalogue, built, count, Settings()):
            built, count, builds = catalogue.version(), number + 2, builds + 1
    assert (count, builds) == (31, 5)  # after 1, 3, 7, 15 and 31 rows


def test_metadata_alone_asks_for_a_build_too(world: World) -> None:
    catalogue = world.catalogue
    put_row(catalogue, "a", datetime.now(UTC))
    built = catalogue.version()
    catalogue.put_metadata("m.csv", "1", MetadataTable([MetadataRow("a", title="A")], []))
    assert not has_enough_changes(catalogue, built, 2, Settings())
    assert has_enough_changes(catalogue, built, 1, Settings(delta_age_seconds=1e-9))
    assert has_enough_changes(catalogue, built, 1, Settings(delta_rows=1))
    catalogue.compact()
    assert not has_enough_changes(catalogue, catalogue.version(), 1, Settings(delta_age_seconds=1e-9))
    assert has_enough_changes(catalogue, CatalogueVersion(), 0, Settings(delta_age_seconds=1e-9))
