"""The comparison of all candidates in steps, and the verdicts that are kept for the next one."""

from __future__ import annotations

import gzip
import io
import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.pictures import draw_scene
from fixtures.shelf import Shelf, unit_vectors
from PIL import Image

from lookalike.duplicates import VerdictCache, begin_comparison, compare_items, comparison_of
from lookalike.duplicates.original import Traces
from lookalike.duplicates.samples import Sample, sample_of
from lookalike.duplicates.verdict import Verdict
from lookalike.images import ImageLimits
from lookalike.settings import Settings
from lookalike.storage import Store
from lookalike.types import Item

LIMITS = ImageLimits.from_settings(Settings())
COUNT = 8


class Pictures:
    """Real samples, and which of them were read."""

    def __init__(self, samples: dict[str, Sample]) -> None:
        self._samples = samples
        self._lock = threading.Lock()
        self.read: list[str] = []

    def get(self, item_id: str) -> Sample | None:
        with self._lock:
            self.read.append(item_id)
        return self._samples.get(item_id)


@pytest.fixture
def artifacts(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "artifacts"))


@pytest.fixture
def shelf(artifacts: Store, tmp_path: Path, tiny_encoder_folder: Path) -> Shelf:
    """Two sizes of four scenes, all with similar vectors, so that all pairs are candidates."""
    made = Shelf.create(artifacts, tmp_path, tiny_encoder_folder)
    chance = np.random.default_rng(0)
    vectors = unit_vectors(1, 16) + 0.02 * chance.standard_normal((COUNT, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made.put([f"{number}" for number in range(COUNT)], vectors)
    made.build()
    return made


@pytest.fixture
def pictures() -> Pictures:
    samples = {}
    for number in range(COUNT):
        scene = Image.fromarray(draw_scene(number // 2)).resize((256, 256) if number % 2 else (160, 160))
        file = io.BytesIO()
        scene.save(file, "JPEG", quality=92)
        samples[str(number)] = sample_of(file.getvalue(), LIMITS)
    return Pictures(samples)


def test_a_comparison_in_steps_finds_what_one_in_one_go_finds(shelf: Shelf, pictures: Pictures) -> None:
    view = shelf.searcher().state().view
    whole = compare_items(view, pictures, max_hash_distance=None)
    steps = begin_comparison(view, pictures, max_hash_distance=None)
    seen = [steps.done]
    while not steps.is_complete:
        steps.advance(0)
        seen.append(steps.done)
    assert len(seen) > 2, "one call of no time does not compare all pairs"
    assert seen == sorted(set(seen))
    assert seen[-1] == steps.total
    stepwise = comparison_of(view, steps)
    assert stepwise.verdicts == whole.verdicts
    groups = stepwise.groups()
    assert groups == whole.groups()
    same = [{each.id for each in group.members} for group in groups if group.relation == "same"]
    assert {"0", "1"} in same


def test_what_was_compared_once_needs_no_images_again(
    shelf: Shelf, pictures: Pictures, artifacts: Store
) -> None:
    view = shelf.searcher().state().view
    first = compare_items(view, pictures, max_hash_distance=None, cache=VerdictCache(artifacts, "c"))
    assert pictures.read
    pictures.read.clear()
    again = compare_items(view, pictures, max_hash_distance=None, cache=VerdictCache(artifacts, "c"))
    assert (again.verdicts, again.traces) == (first.verdicts, first.traces)
    assert not pictures.read


def test_steps_that_another_process_continues_compare_each_pair_once(
    shelf: Shelf, pictures: Pictures, artifacts: Store
) -> None:
    view = shelf.searcher().state().view
    begun = begin_comparison(view, pictures, max_hash_distance=None, cache=VerdictCache(artifacts, "c"))
    begun.advance(0)
    assert 0 < begun.done < begun.total
    other = begin_comparison(view, pictures, max_hash_distance=None, cache=VerdictCache(artifacts, "c"))
    assert other.done == 0
    other.advance(0)
    assert other.done > begun.done


A = Item("a", width=10, height=8, perceptual_hash=b"1" * 32, ingested_at="2024-01-01T00:00:00")
B = Item("b", width=20, height=16, perceptual_hash=b"2" * 32, ingested_at="2024-01-02T00:00:00")
FOUND = Verdict("same", ("same colours",), (Traces(frozenset({"cropped"})), Traces(camera=True)))


def test_a_verdict_is_known_from_either_side(artifacts: Store) -> None:
    cache = VerdictCache(artifacts, "c")
    cache.put(A, B, FOUND)
    cache.save()
    known = VerdictCache(artifacts, "c")
    assert known.get(A, B) == FOUND
    assert known.get(B, A) == Verdict(FOUND.relation, FOUND.reasons, FOUND.traces[::-1])
    assert VerdictCache(artifacts, "other").get(A, B) is None


@pytest.mark.parametrize(
    "changed",
    [{"ingested_at": "2024-03-01"}, {"perceptual_hash": None}, {"width": 11}, {"ingested_at": None}],
)
def test_an_image_that_was_replaced_is_compared_again(artifacts: Store, changed: dict[str, object]) -> None:
    cache = VerdictCache(artifacts, "c")
    cache.put(A, B, FOUND)
    cache.save()
    assert VerdictCache(artifacts, "c").get(replace(A, **changed), B) is None  # type: ignore[arg-type]


def test_two_processes_lose_no_verdict_of_each_other(artifacts: Store) -> None:
    one, other = VerdictCache(artifacts, "c"), VerdictCache(artifacts, "c")
    third = replace(A, id="third")
    assert one.get(A, B) is other.get(A, B) is None
    one.put(A, B, FOUND)
    one.save()
    other.put(third, B, FOUND)
    other.save()
    assert VerdictCache(artifacts, "c").get(A, B) == VerdictCache(artifacts, "c").get(third, B) == FOUND


PATH = "collections/c/duplicate-verdicts.json.gz"


def test_damaged_caches_are_as_good_as_none(artifacts: Store) -> None:
    cache = VerdictCache(artifacts, "c")
    cache.put(A, B, FOUND)
    cache.save()
    whole = artifacts.get(PATH).data
    document = json.loads(gzip.decompress(whole))
    (key,) = document["verdicts"]
    entries = [None, 1, [], ["no", []], ["same", [1]], ["same", 7], ["same", ["x"], [[], True]], "same"]
    damaged = [
        b"",
        b"no gzip",
        whole[:-20],
        *(gzip.compress(text) for text in (b"", b"[]", b"{", b"\xff", b'{"method":1}', b"[" * 100_000)),
        gzip.compress(json.dumps(document | {"method": 0}).encode()),
        gzip.compress(json.dumps(document | {"verdicts": []}).encode()),
        *(gzip.compress(json.dumps(document | {"verdicts": {key: each}}).encode()) for each in entries),
    ]
    for data in damaged:
        artifacts.put(PATH, data)
        again = VerdictCache(artifacts, "c")
        assert again.get(A, B) is None, data
        again.put(A, B, FOUND)
        again.save()
        assert VerdictCache(artifacts, "c").get(A, B) == FOUND
