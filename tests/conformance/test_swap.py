"""Snapshots and encoders swap under 50 concurrent searches: no error, no answer from two states at once."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fixtures.pictures import draw_scene
from fixtures.repetition import seeded, times
from fixtures.shelf import AT, NAME, Shelf
from PIL import Image

from lookalike.catalogue import ItemRow
from lookalike.collection_config import Collections
from lookalike.encoders import Encoder, Encoders
from lookalike.filters import parse_filter
from lookalike.images import ImageLimits, read_image
from lookalike.search import Query, QueryPart, Searcher, SearchResult
from lookalike.settings import Settings
from lookalike.storage import Store
from lookalike.types import Vector, Vectors

THREADS = 50
PICTURES = 24
SWAPS = times(4, soak=12)
SETTINGS = Settings(refresh_seconds=0.02)


@dataclass
class World:
    """A collection of drawn pictures, every one of them encoded by both encoders."""

    shelf: Shelf
    encoders: dict[str, Encoder]
    pictures: list[bytes]
    vectors: dict[str, Vectors] = field(default_factory=dict)
    built: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = ImageLimits.from_settings(SETTINGS)
        for id_, encoder in self.encoders.items():
            preprocess = encoder.manifest.preprocess
            inputs = [read_image(data, limits, preprocess)[1] for data in self.pictures]
            self.vectors[id_] = encoder.encode(inputs)

    def upload(self, number: int) -> None:
        """Ingest one picture for both encoders."""
        sequencer = self.shelf.tick()
        for id_, vectors in self.vectors.items():
            config = replace(self.shelf.config, encoder_id=id_)
            side = replace(self.shelf, config=config, dimension=vectors.shape[1])
            side.catalogue.put_vectors([name(number)], [sequencer], ["h"], vectors[number : number + 1])
        row = ItemRow(name(number), sequencer, "live", "etag", "h", 9, 64, 64, None, ingested_at=AT)
        self.shelf.catalogue.put_items([row])

    def switch(self, encoder_id: str) -> None:
        """The collection asks for another encoder from now on."""
        Collections(self.shelf.artifacts).update(NAME, encoder_id=encoder_id)
        self.shelf.config = replace(self.shelf.config, encoder_id=encoder_id)
        self.shelf.dimension = self.vectors[encoder_id].shape[1]

    def build(self) -> str:
        """Publish a snapshot; returns its id."""
        manifest = self.shelf.build(force=True)
        self.built[manifest.id] = manifest.encoder_id
        return manifest.id

    def check(self, number: int, query: Query, result: SearchResult) -> None:
        """Every distance in an answer is that of the encoder which the answer names, and of no other."""
        vectors = self.vectors[result.encoder].astype(np.float64)
        numbers = [int(match.item.id.partition(".")[0]) for match in result.matches]
        expected = 1 - vectors[numbers] @ vectors[number]
        got = [match.distance for match in result.matches]
        np.testing.assert_allclose(got, expected, atol=1e-4)
        assert got == sorted(got)
        assert len(set(numbers)) == len(numbers) == query.limit
        if query.parts[0].kind == "image":
            assert numbers[0] == number


def name(number: int) -> str:
    return f"{number:02}.jpg"


@pytest.fixture
def world(tmp_path: Path, tiny_encoder_folder: Path, default_encoder_folder: Path) -> World:
    shelf = Shelf.create(Store(str(tmp_path / "store")), tmp_path / "work", tiny_encoder_folder)
    registry = Encoders(shelf.artifacts)
    ids = [shelf.config.encoder_id, registry.add(default_encoder_folder).id]
    return World(shelf, {id_: registry.load(id_) for id_ in ids}, [jpeg(seed) for seed in range(PICTURES)])


def jpeg(seed: int) -> bytes:
    file = BytesIO()
    Image.fromarray(draw_scene(seed, 64)).save(file, "JPEG", quality=92)
    return file.getvalue()


@contextmanager
def searching(world: World, searcher: Searcher, known: int) -> Iterator[list[SearchResult]]:
    """50 threads that search until the block ends; whatever goes wrong in one of them is raised there."""
    stop = threading.Event()
    results: list[SearchResult] = []
    errors: list[BaseException] = []

    def search(seed: int) -> None:
        chance = random.Random(seeded(seed))
        while not stop.is_set() and not errors:
            number = chance.randrange(known)
            by_image = QueryPart("image", world.pictures[number])
            query = chance.choice(
                [
                    Query((by_image,), limit=5),
                    Query((QueryPart("id", name(number)),), limit=5),
                    Query((QueryPart("id", name(number)),), limit=3, filter=parse_filter({"width": 64})),
                    Query((by_image,), limit=4, group_by="id"),
                ]
            )
            try:
                result = searcher.search(query)
                world.check(number, query, result)
                results.append(result)
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=search, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield results
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def test_swaps_under_fifty_searches(world: World) -> None:
    known = PICTURES // 2
    for number in range(known):
        world.upload(number)
    world.build()
    searcher = Searcher(
        world.shelf.artifacts, NAME, SETTINGS, Encoders(world.shelf.artifacts), world.shelf.work / "cache"
    )
    first, second = world.encoders
    with searching(world, searcher, known) as results:
        for step in range(SWAPS):
            if step == SWAPS // 2:
                world.switch(second)
            world.upload(known + step)
            seen_by(results, world.build())
    served = {(result.snapshot, result.encoder) for result in results}
    assert served == set(world.built.items())
    assert Counter(world.built.values()) == {first: 1 + SWAPS // 2, second: SWAPS // 2}
    assert searcher.status().items == known + SWAPS
    assert searcher.status().problem is None


def seen_by(results: list[SearchResult], snapshot_id: str) -> None:
    """Wait until searches are answered from a snapshot, fifty times."""
    deadline = time.monotonic() + 60
    while sum(result.snapshot == snapshot_id for result in results) < 50:
        assert time.monotonic() < deadline, "the snapshot did not come to serve"
        time.sleep(0.01)


class Trap:
    """A vector that does something when a search first looks at it."""

    def __init__(self, vector: Vector, spring: Callable[[], object]) -> None:
        self._vector = vector
        self._spring = spring

    def __array__(self, dtype: object = None, copy: object = None) -> Vector:
        self._spring()
        return self._vector


def test_a_search_ends_in_the_state_it_began_in(world: World) -> None:
    for number in range(6):
        world.upload(number)
    before = world.build()
    first, second = world.encoders
    searcher = world.shelf.searcher()
    searcher.refresh(force=True)

    def swap() -> None:
        world.switch(second)
        world.upload(6)
        world.build()
        assert searcher.refresh(force=True)
        assert searcher.status().encoder == second

    trap = QueryPart("vector", Trap(world.vectors[first][0], swap))  # type: ignore[arg-type]
    image = QueryPart("image", world.pictures[0])
    result = searcher.search(Query((trap, image), limit=6))
    assert (result.snapshot, result.encoder) == (before, first)
    assert result.matches[0].distance == pytest.approx(0, abs=1e-4)
    world.check(0, Query((trap,), limit=6), result)
    assert searcher.search(Query((image,), limit=7)).encoder == second
