"""`kill -9` at random moments of real processes: nothing is lost, done twice, or served half done.

The moments are drawn from a fixed seed and count from the first change that a process makes to the disk, so
that the start of Python is not what gets killed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fixtures.command import Command
from fixtures.photos import write_photos
from fixtures.repetition import seeded, times

from lookalike.catalogue import Catalogue
from lookalike.encoders import Encoders
from lookalike.search import Searcher
from lookalike.settings import Settings
from lookalike.snapshots import current, open_snapshot
from lookalike.storage import Store

PICTURES = 200
BATCH = 20
KILLS = times(3, soak=12)
LOOK_SECONDS = 0.02
LANES = range(1, 1 + times(1, soak=3))  # sequences of random moments
NAME = "shop"


@dataclass
class Shop:
    """A store, the folder that goes into it, and the ids that must be in it in the end."""

    base: Path
    photos: Path
    ids: list[str]
    command: Command

    def artifacts(self) -> Store:
        return Store(str(self.base / "store" / "artifacts"))

    def catalogue(self) -> Catalogue:
        encoder = Encoders(self.artifacts()).list()[0]
        return Catalogue(self.artifacts(), NAME, encoder.id, encoder.dimension)

    def start_over(self) -> None:
        """An empty store with an encoder."""
        keep = self.base / "store" / "artifacts" / "encoders"
        for folder in (self.base / "store").rglob("*"):
            if folder.is_dir() and folder.parent == keep.parent and folder != keep:
                shutil.rmtree(folder)
        shutil.rmtree(self.base / "store" / "images", ignore_errors=True)


@pytest.fixture
def shop(tmp_path: Path, tiny_encoder_folder: Path) -> Shop:
    photos = tmp_path / "photos"
    ids = write_photos(photos, PICTURES)
    command = Command(tmp_path / "store", tmp_path)
    Encoders(Store(str(tmp_path / "store" / "artifacts"))).add(tiny_encoder_folder)
    return Shop(tmp_path, photos, ids, command)


@pytest.mark.parametrize("lane", LANES)
def test_killed_while_indexing(shop: Shop, lane: int) -> None:
    index = ("index", shop.photos, "--collection", NAME, "--batch", BATCH)
    chance = random.Random(seeded(lane))
    working = _seconds_of_work(shop, index)
    kills = rounds = 0
    while kills < KILLS:
        shop.start_over()
        rounds += 1
        assert rounds <= 3 * KILLS, "the process ends before it can be killed"
        # Killed again and again on the way to the same end.
        while kills < KILLS:
            moment = chance.uniform(0, working / 2)
            if not _kill(shop, index, moment):
                working = moment  # it takes less; the first one may have run on a busy machine
                break
            kills += 1
            _check_what_is_there(shop)
        known = _vectors(shop)
        report = shop.command.run(*index)
        assert report["encoded"] == PICTURES - known, "what was committed was encoded again, or lost"
        assert report["failed"] == []
        _check_complete(shop)


@pytest.mark.parametrize("lane", LANES)
def test_killed_while_building_a_snapshot(shop: Shop, lane: int) -> None:
    shop.command.run("index", shop.photos, "--collection", NAME)
    build = ("snapshot", "build", "--collection", NAME, "--force")
    chance = random.Random(seeded(lane))
    working = _seconds_of_work(shop, build)
    before = current(shop.artifacts(), NAME)
    kills = attempts = 0
    while kills < KILLS:
        attempts += 1
        assert attempts <= 4 * KILLS, "the process ends before it can be killed"
        moment = chance.uniform(0, working)
        if _kill(shop, build, moment):
            kills += 1
        else:
            working = moment  # it takes less; the first one may have run on a busy machine
        serving = current(shop.artifacts(), NAME)
        assert serving is not None
        assert before is not None
        assert serving.id >= before.id, "an older snapshot serves again"
        assert open_snapshot(serving, shop.artifacts(), shop.base).size == PICTURES
        before = serving
    built = shop.command.run(*build)
    serving = current(shop.artifacts(), NAME)
    assert serving is not None
    assert serving.id == built["id"]
    _check_complete(shop)


def test_four_processes_index_overlapping_folders(shop: Shop) -> None:
    categories = sorted(folder.name for folder in shop.photos.iterdir() if folder.is_dir())
    processes = []
    for left_out in categories:
        folder = shop.base / f"without-{left_out}"
        shutil.copytree(shop.photos, folder, ignore=shutil.ignore_patterns(left_out))
        processes.append(shop.command.start("index", folder, "--collection", NAME, "--batch", BATCH))
    for process in processes:
        out, noise = process.communicate(timeout=240)
        assert process.returncode == 0, f"{out}\n{noise}"
    _check_complete(shop)
    report = shop.command.run("reconcile", "--collection", NAME)["collections"][0]
    counts = {name: report[name] for name in ("encoded", "reused", "removed", "rejected", "metadata_files")}
    assert set(counts.values()) == {0}, f"something was left to repair: {counts}"


def _kill(shop: Shop, arguments: tuple[object, ...], seconds: float) -> bool:
    """Start a command and kill it so long after its first change to the disk. False: it ended before that."""
    seen = _files(shop)
    process = shop.command.start(*arguments)
    try:
        while process.poll() is None and _files(shop) == seen:
            time.sleep(LOOK_SECONDS)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        out, noise = process.communicate(timeout=60)
    assert process.returncode in {0, -signal.SIGKILL}, f"{out}\n{noise}"
    return process.returncode != 0


def _seconds_of_work(shop: Shop, arguments: tuple[object, ...]) -> float:
    """How long the command works when nobody kills it, from its first change to the disk."""
    seen = _files(shop)
    process = shop.command.start(*arguments)
    while process.poll() is None and _files(shop) == seen:
        time.sleep(LOOK_SECONDS)
    started = time.monotonic()
    out, noise = process.communicate(timeout=240)
    assert process.returncode == 0, f"{out}\n{noise}"
    return time.monotonic() - started


def _files(shop: Shop) -> int:
    """Counts what processes write to; the pictures themselves never change."""
    written = (shop.base / "store", shop.base / "cache")
    return sum(len(names) for folder in written for _, _, names in os.walk(folder))


def _vectors(shop: Shop) -> int:
    return len(shop.catalogue().known_vectors())


def _check_what_is_there(shop: Shop) -> None:
    """After a kill: no row twice, none without its bytes, and what is current can be served."""
    catalogue = shop.catalogue()
    stats, known, vectors = catalogue.stats(), catalogue.known(), catalogue.known_vectors()
    assert stats.live == len(known), "an item has two rows"
    assert stats.vectors == len(vectors), "an item has two vectors"
    assert set(known) <= set(vectors), "an item is listed before its vector is there"
    assert set(vectors) <= set(shop.ids)
    serving = current(shop.artifacts(), NAME)
    if serving is not None:
        assert open_snapshot(serving, shop.artifacts(), shop.base).size == serving.count


def _check_complete(shop: Shop) -> None:
    """Every image exactly once, everywhere."""
    catalogue = shop.catalogue()
    stats = catalogue.stats()
    assert (stats.live, stats.vectors, stats.rejected, stats.removed) == (PICTURES, PICTURES, 0, 0)
    scanned = [item for batch in catalogue.scan() for item in batch.items]
    assert [item.id for item in scanned] == sorted(shop.ids)
    assert all(item.title and item.product_id for item in scanned)
    images = shop.base / "store" / "images" / NAME / "images"
    there = {file.relative_to(images).as_posix() for file in images.rglob("*") if file.is_file()}
    assert there == set(shop.ids)
    assert all((images / name).read_bytes() == (shop.photos / name).read_bytes() for name in shop.ids)
    # The snapshot may have been built by the first of several processes; the rest is in the delta.
    settings = Settings(store=str(shop.base / "store"))
    encoders = Encoders(shop.artifacts())
    view = Searcher(shop.artifacts(), NAME, settings, encoders, shop.base).state().view
    assert view.snapshot is not None
    assert sorted(view.id_at(row) for row in np.flatnonzero(view.alive)) == sorted(shop.ids)
