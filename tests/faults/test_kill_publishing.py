"""`kill -9` at random moments of `lookalike publish` and `rollback`, and run again."""

from __future__ import annotations

import random
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest
from fixtures.command import Command
from fixtures.frames import NAME, Frames
from fixtures.repetition import seeded, times

from lookalike.library import Library
from lookalike.search import Query, QueryPart
from lookalike.settings import Settings
from lookalike.snapshots import current, open_snapshot, read_pointer, read_switches

KILLS = times(3, soak=18)
QUESTION = Query((QueryPart("id", "red/0.jpg"),), limit=100)


@pytest.fixture
def frames(tmp_path: Path, tiny_encoder_folder: Path) -> Frames:
    library = Library(Settings(store=str(tmp_path / "store")), tmp_path / "cache")
    frames = Frames.create(library, tiny_encoder_folder, tmp_path, serving="bad", each=20)
    frames.build()
    return frames


def answer(frames: Frames) -> tuple[str, list[tuple[str, float]]]:
    result = frames.searcher().search(QUESTION)
    return result.encoder, [(match.item.id, match.score) for match in result.matches]


def check(frames: Frames, expected: dict[str, list[tuple[str, float]]], tmp_path: Path) -> None:
    """Whatever was killed: the pointer names a whole snapshot, and all items are found by its encoder."""
    artifacts = frames.library.artifacts
    serving, pointer = current(artifacts, NAME), read_pointer(artifacts, NAME)
    assert serving is not None
    assert pointer is not None
    assert pointer[0].encoder_id == serving.encoder_id
    assert open_snapshot(serving, artifacts, tmp_path).size == serving.count == 80
    encoder, pairs = answer(frames)
    assert pairs == expected.setdefault(encoder, pairs)
    assert len(pairs) == 79


def test_killed_while_publishing_and_going_back(frames: Frames, tmp_path: Path) -> None:
    command = Command(tmp_path / "store", tmp_path)
    publish, rollback = ("publish", NAME, frames.good), ("rollback", NAME)
    expected = dict([answer(frames)])
    chance = random.Random(seeded(0))
    started = time.monotonic()
    command.run(*publish)
    whole = time.monotonic() - started
    check(frames, expected, tmp_path)
    command.run(*rollback)
    check(frames, expected, tmp_path)
    kills = attempts = 0
    while kills < KILLS:
        attempts += 1
        assert attempts <= 5 * KILLS, "the processes end before they can be killed"
        wanted = publish if attempts % 2 else rollback
        started = time.monotonic()
        process = command.start(*wanted)
        try:
            process.wait(chance.uniform(whole / 3, whole))
            whole = min(whole, time.monotonic() - started)  # the first one may have run on a busy machine
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        process.communicate(timeout=60)
        check(frames, expected, tmp_path)
        if _is_unfinished(frames, wanted, publish):
            command.run(*wanted)
        check(frames, expected, tmp_path)
        assert answer(frames)[0] == (frames.good if wanted == publish else frames.bad)
    kinds = [entry.kind for entry in read_switches(frames.library.artifacts, NAME).entries]
    assert all(a != b for a, b in pairwise(kinds)), kinds
    assert read_switches(frames.library.artifacts, NAME).unfinished is None


def _is_unfinished(frames: Frames, wanted: tuple[str, ...], publish: tuple[str, ...]) -> bool:
    """Whether something is left to do: a rollback that is done would go on to the step before."""
    target = frames.good if wanted == publish else frames.bad
    switches = read_switches(frames.library.artifacts, NAME)
    return answer(frames)[0] != target or switches.unfinished is not None
