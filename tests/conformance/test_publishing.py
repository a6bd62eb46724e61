"""Another encoder takes over while searches and uploads go on, and hands back; over a folder and over S3."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.frames import COLOURS, NAME, Frames, framed, nearsighted

from lookalike.encoders import EncoderManifest
from lookalike.encoders.learnt_images import pack_learnt
from lookalike.encoders.manifest import content_id
from lookalike.errors import Conflict, InvalidInput, StoreUnavailable
from lookalike.evaluation.bootstrap import Interval
from lookalike.ingest import Ingestor
from lookalike.library import Library
from lookalike.publishing import (
    Comparison,
    Publication,
    compare_on_collection,
    compare_on_own_or_else,
    publish_encoder,
    rollback,
)
from lookalike.publishing.publish_rule import Measured
from lookalike.search import Query, QueryPart, Searcher, SearchResult
from lookalike.settings import Settings
from lookalike.snapshots import collect_garbage, current, read_pointer, read_switches
from lookalike.storage import Store

PAUSE_SECONDS = 0.01
QUESTIONS = [f"{colour}/{seed}.jpg" for colour in COLOURS for seed in (0, 5)]


@pytest.fixture
def library(store: Store, tmp_path: Path, request: pytest.FixtureRequest) -> Library:
    endpoint = request.getfixturevalue("s3_endpoint") if store.folder is None else ""
    return Library(Settings(store=store.url, s3_endpoint=endpoint, refresh_seconds=0.02), tmp_path / "cache")


@pytest.fixture
def frames(library: Library, tiny_encoder_folder: Path, tmp_path: Path) -> Frames:
    """Lives by the encoder that does not see what matters; has a snapshot, and newer items beside it."""
    frames = Frames.create(library, tiny_encoder_folder, tmp_path, serving="bad")
    frames.build()
    frames.upload(("red", 20), ("blue", 20))
    return frames


def answers(
    searcher: Searcher, *, without: frozenset[str] = frozenset()
) -> list[tuple[str, list[tuple[str, float]]]]:
    """Every question's encoder, ids and scores in their order, whole."""
    searcher.refresh(force=True)
    found = []
    for item_id in QUESTIONS:
        result = searcher.search(Query((QueryPart("id", item_id),), limit=100))
        pairs = [(match.item.id, match.score) for match in result.matches if match.item.id not in without]
        found.append((result.encoder, pairs))
    return found


def accuracy(searcher: Searcher) -> float:
    """Part of the questions whose first match is of the same colour."""
    return float(
        np.mean(
            [
                first[1][0][0].split("/")[0] == asked.split("/")[0]
                for asked, first in zip(QUESTIONS, answers(searcher), strict=True)
            ]
        )
    )


def test_a_better_encoder_takes_over_and_its_predecessor_comes_back_exactly(frames: Frames) -> None:
    library = frames.library
    searcher = frames.searcher()
    before, accuracy_before = answers(searcher), accuracy(searcher)
    serving = current(library.artifacts, NAME)
    done = publish_encoder(library, NAME, frames.good)
    assert done.published
    assert done.comparison is not None
    assert done.comparison.new.map_at_r > done.comparison.old.map_at_r + 0.2
    assert done.comparison.verdict == "better"
    assert accuracy(searcher) == 1 > accuracy_before
    assert {encoder for encoder, _ in answers(searcher)} == {frames.good}
    assert library.collections.get(NAME).encoder_id == frames.good
    [switch] = read_switches(library.artifacts, NAME).entries
    assert (switch.kind, switch.encoder_id, switch.previous_encoder) == ("publish", frames.good, frames.bad)
    assert switch.done
    assert serving is not None
    assert switch.previous_snapshot == serving.id

    back = rollback(library, NAME)
    assert (back.encoder_id, back.previous_encoder) == (frames.bad, frames.good)
    assert back.snapshot == serving.id
    assert answers(searcher) == before
    with pytest.raises(Conflict, match="no earlier encoder"):
        rollback(library, NAME)
    again = publish_encoder(library, NAME, frames.good)
    assert again.published
    assert [entry.kind for entry in read_switches(library.artifacts, NAME).entries] == [
        "publish",
        "rollback",
        "publish",
    ]


def test_what_happened_since_is_kept_when_going_back(frames: Frames) -> None:
    library = frames.library
    searcher = frames.searcher()
    before = answers(searcher)
    publish_encoder(library, NAME, frames.good)
    new = frames.upload(("green", 30), ("grey", 30))
    frames.upload(("red", 3), version=1)
    frames.remove("blue/3.jpg")
    frames.build()
    assert set(new) <= {item_id for item_id, _ in answers(searcher)[0][1]}
    rollback(library, NAME)
    after = answers(searcher)
    touched = frozenset({*new, "red/3.jpg", "blue/3.jpg"})
    assert answers(searcher, without=touched) == [
        (encoder, [pair for pair in pairs if pair[0] not in touched]) for encoder, pairs in before
    ]
    found = {item_id for item_id, _ in after[0][1]}
    assert {*new, "red/3.jpg"} <= found
    assert "blue/3.jpg" not in found
    # The replaced picture is found by what it shows now.
    config = library.collections.get(NAME)
    catalogue = library.catalogue(config)
    row = catalogue.known(["red/3.jpg"])["red/3.jpg"]
    assert catalogue.known_vectors(["red/3.jpg"])["red/3.jpg"][1] == row.content_hash


def test_a_worse_encoder_is_refused_unless_forced(
    library: Library, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    frames = Frames.create(library, tiny_encoder_folder, tmp_path, serving="good")
    snapshot = frames.build()
    refused = publish_encoder(library, NAME, frames.bad)
    assert not refused.published
    assert "does not rise" in refused.reason
    assert library.collections.get(NAME).encoder_id == frames.good
    serving = read_pointer(library.artifacts, NAME)
    assert serving is not None
    assert serving[0].snapshot_id == snapshot
    assert read_switches(library.artifacts, NAME).entries == ()
    forced = publish_encoder(library, NAME, frames.bad, force=True)
    assert forced.published
    assert forced.reason.startswith("forced; mAP@R does not rise")
    assert {encoder for encoder, _ in answers(frames.searcher())} == {frames.bad}
    assert publish_encoder(library, NAME, frames.bad).reason == "this collection already uses it"


def test_without_categories_nothing_tells_which_is_better(
    library: Library, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    frames = Frames.create(library, tiny_encoder_folder, tmp_path, serving="good", each=0)
    for number in range(4):
        library.images.put(
            f"{NAME}/images/{number}.jpg",
            framed("red", number),
        )
    library.ingestor.reconcile(NAME)
    with pytest.raises(InvalidInput, match="publish with force"):
        publish_encoder(library, NAME, frames.bad)
    done = publish_encoder(library, NAME, frames.bad, force=True)
    assert (done.published, done.comparison) == (True, None)


@contextmanager
def searching(searcher: Searcher, threads: int = 8) -> Iterator[list[SearchResult]]:
    """Threads that search until the block ends; whatever goes wrong in one of them is raised there.

    They pause for a moment after each search: they would otherwise take most of the processor from the change
    of the encoder, which then lasts several times as long.
    """
    stop = threading.Event()
    results: list[SearchResult] = []
    errors: list[BaseException] = []
    query = Query((QueryPart("id", QUESTIONS[0]),), limit=100)

    def search() -> None:
        while not stop.is_set() and not errors:
            try:
                results.append(searcher.search(query))
            except BaseException as error:
                errors.append(error)
            stop.wait(PAUSE_SECONDS)

    running = [threading.Thread(target=search) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield results
    finally:
        stop.set()
        for thread in running:
            thread.join()
    if errors:
        raise errors[0]


def test_searches_and_uploads_go_on_meanwhile(frames: Frames) -> None:
    """Each answer is of one encoder throughout, and nothing that arrives is lost, whenever it arrives."""
    library = frames.library
    searcher = frames.searcher()
    arrivals: list[str] = []

    def upload(step: str, done: int, total: int) -> None:  # between any two steps
        if len(arrivals) < 12:  # what comes while items are encoded is encoded too, before it goes on
            arrivals.extend(frames.upload(("green", 100 + len(arrivals))))

    with searching(searcher, 8 if library.artifacts.folder else 2) as results:
        publish_encoder(library, NAME, frames.good, progress=upload)
        _wait_for(results, frames.good, arrivals)
        switched = len(results)
        rollback(library, NAME, progress=upload)
        _wait_for(results[switched:], frames.bad, arrivals, more=results)
    assert len(arrivals) >= 5
    vectors = {id_: _vectors(frames, id_) for id_ in (frames.good, frames.bad)}
    for result in results[:: max(1, len(results) // 200)]:
        table = vectors[result.encoder]
        expected = [1 - table[QUESTIONS[0]] @ table[match.item.id] for match in result.matches]
        np.testing.assert_allclose([match.distance for match in result.matches], expected, atol=1e-4)


def _wait_for(
    results: list[SearchResult], encoder: str, ids: list[str], *, more: list[SearchResult] | None = None
) -> None:
    import time

    watched = results if more is None else more
    deadline = time.monotonic() + 60
    while True:
        last = watched[-1] if watched else None
        if last and last.encoder == encoder and set(ids) <= {match.item.id for match in last.matches}:
            return
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def _vectors(frames: Frames, encoder_id: str) -> dict[str, np.ndarray]:
    config = replace(frames.library.collections.get(NAME), encoder_id=encoder_id)
    catalogue = frames.library.catalogue(config)
    ids, vectors = catalogue.vectors(list(catalogue.known_vectors()))
    return dict(zip(ids, vectors.astype(np.float64), strict=True))


def test_an_upload_that_is_committed_after_the_change_is_encoded_anew(frames: Frames) -> None:
    """Ingest had the old encoder in its hands when the collection changed over, and commits only then."""
    library = frames.library
    publish_encoder(library, NAME, frames.good)
    rollback(library, NAME)
    asked: list[str] = []

    def encoder_for(config):  # type: ignore[no-untyped-def]
        encoder = library.encoders.load(config.encoder_id)
        asked.append(config.encoder_id)
        if len(asked) == 2:  # once to look what is known, once to apply
            publish_encoder(library, NAME, frames.good)
        return encoder

    late = Ingestor(library.images, library.artifacts, library.settings, encoder_for)
    key = f"{NAME}/images/red/late.jpg"
    library.images.put(key, framed("red", 77))
    late.observe(NAME, [key])
    assert asked[:2] == [frames.bad, frames.bad]
    assert {encoder for encoder, _ in answers(frames.searcher())} == {frames.good}
    assert "red/late.jpg" in [item_id for item_id, _ in answers(frames.searcher())[0][1]]


def test_what_going_back_needs_outlives_garbage_collection(frames: Frames) -> None:
    library = frames.library
    searcher = frames.searcher()
    frames.build()
    before = answers(searcher)
    first = current(library.artifacts, NAME)
    publish_encoder(library, NAME, frames.good)
    frames.upload(("green", 50))
    frames.build()
    middle = current(library.artifacts, NAME)
    frames.upload(("green", 51))
    frames.build()
    assert first is not None
    assert middle is not None
    removed = collect_garbage(library.artifacts, NAME, grace_seconds=-1)
    assert first.id not in removed
    assert middle.id in removed
    rollback(library, NAME)
    added = frozenset({"green/50.jpg", "green/51.jpg"})
    assert answers(searcher, without=added) == before


def test_a_snapshot_that_was_lost_is_built_again(frames: Frames) -> None:
    library = frames.library
    searcher = frames.searcher()
    before = answers(searcher)
    serving = current(library.artifacts, NAME)
    assert serving is not None
    publish_encoder(library, NAME, frames.good)
    library.artifacts.delete_folder(f"collections/{NAME}/snapshots/{serving.id}")
    back = rollback(library, NAME)
    assert back.snapshot != serving.id
    assert [encoder for encoder, _ in answers(searcher)] == [encoder for encoder, _ in before]
    for (_, got), (_, expected) in zip(answers(searcher), before, strict=True):
        assert [item_id for item_id, _ in got] == [item_id for item_id, _ in expected]


def test_one_change_at_a_time(frames: Frames) -> None:
    library = frames.library
    if library.artifacts.folder is None:
        pytest.skip("processes of one machine meet at a file; on S3 the pointer's compare-and-swap decides")
    inside: list[str] = []

    def second(*_: object) -> None:
        for attempt in (
            lambda: publish_encoder(library, NAME, frames.good),
            lambda: rollback(library, NAME),
        ):
            with pytest.raises(Conflict, match="another change of this collection's encoder"):
                attempt()
            inside.append("refused")

    assert publish_encoder(library, NAME, frames.good, progress=second).published
    assert inside


def test_a_store_that_fails_in_between_leaves_the_old_encoder_whole(
    frames: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = frames.library
    searcher = frames.searcher()
    before = answers(searcher)

    def fail(*_: object) -> Publication:
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        publish_encoder(library, NAME, frames.good, judge=fail)  # type: ignore[arg-type]
    assert answers(searcher) == before
    assert publish_encoder(library, NAME, frames.good).published


def test_the_comparison_asks_what_was_held_out(frames: Frames) -> None:
    library = frames.library
    held = [f"{colour}/{seed}.jpg" for colour in COLOURS for seed in (1, 2)]
    publish_encoder(library, NAME, frames.good, force=True)
    found = compare_on_collection(library, NAME, frames.bad, frames.good, validation=held)
    assert (found.queries, found.gallery, found.classes) == (8, 4 * 8 + 2 - 8, 4)
    assert found.new.recall_at_1 == 1.0
    assert compare_on_collection(library, NAME, frames.good, frames.good, validation=held).verdict == "noise"


def trained_on(colours: tuple[str, ...], folder: Path) -> Path:
    """Make the encoder in `folder` one that learnt five pictures of each colour."""
    files = []
    for colour in colours:
        for seed in range(5):
            files.append(folder.parent / f"{colour}-{seed}.jpg")
            files[-1].write_bytes(framed(colour, seed))
    manifest = EncoderManifest.read(folder)
    details = {"training": {}, "learnt": pack_learnt(files), "categories": sorted(colours)}
    changed = replace(manifest, name="trained", details=details)
    (folder / "encoder.json").write_bytes(replace(changed, id=content_id(changed)).dump())
    return folder


def test_a_training_that_lacks_half_of_the_categories_is_not_published(
    library: Library, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    """However well it does on the few images that it held out: the items of the collection decide."""
    frames = Frames.create(library, tiny_encoder_folder, tmp_path, serving="good", each=28)
    frames.build()
    near = nearsighted(tiny_encoder_folder, tmp_path / "misleading")
    trained = library.encoders.add(trained_on(("red", "green"), near)).id

    def held_out() -> Comparison:
        """What made the mistake: 16 images of the two categories that it knows."""
        best = Measured(trained, 1.0, 1.0, 1.0, 1.0)
        poor = Measured(frames.good, 0.5, 0.5, 0.5, 0.5)
        return Comparison(poor, best, 16, 16, 2, Interval(0.5, 0.4, 0.6), "better", "held out")

    assert held_out().is_better

    def judge(old: str, new: str) -> Comparison:
        return compare_on_own_or_else(library, NAME, old, new, held_out)

    done = publish_encoder(library, NAME, trained, judge=judge)
    assert not done.published
    assert done.comparison is not None
    assert (done.comparison.queries, done.comparison.unseen_classes) == (4 * 28 - 10, 2)
    assert "mAP@R does not rise" in done.reason
    assert "worse for 2 categories that were not in the training" in done.reason
    assert library.collections.get(NAME).encoder_id == frames.good

    # One that learnt all categories, and sees what matters, replaces one that does not.
    publish_encoder(library, NAME, frames.bad, force=True)
    whole = shutil.copytree(tiny_encoder_folder, tmp_path / "whole")
    good = library.encoders.add(trained_on(tuple(COLOURS), whole)).id
    done = publish_encoder(library, NAME, good, judge=judge)
    assert done.published, done.reason
    assert done.comparison is not None
    assert (done.comparison.queries, done.comparison.unseen_classes) == (4 * 28 - 20, 0)
    assert library.collections.get(NAME).encoder_id == good


def test_items_that_an_encoder_learnt_from_do_not_ask(
    frames: Frames, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    """Wherever the training images came from: a zip file may have the same ones under other names."""
    library = frames.library
    trained = library.encoders.add(
        trained_on(("red", "green"), shutil.copytree(tiny_encoder_folder, tmp_path / "trained"))
    ).id

    done = publish_encoder(library, NAME, trained)
    found = done.comparison
    assert found is not None
    assert (found.queries, found.gallery, found.classes) == (4 * 8 + 2 - 10, 4 * 8 + 2, 4)
    assert found.unseen_classes == 2
    assert found.basis == "items of the collection that neither encoder was trained on"
    assert done.published

    # The one in use counts as well: its images do not ask, or it would look too good.
    back = compare_on_collection(library, NAME, trained, frames.bad)
    assert (back.queries, back.unseen_classes) == (24, 0)
    assert not back.is_better

    def other() -> Comparison:
        return replace(found, queries=25, basis="held out")

    assert compare_on_own_or_else(library, NAME, frames.bad, trained, other).basis == "held out"
    assert compare_on_own_or_else(library, NAME, frames.bad, trained, lambda: None).queries == 24
