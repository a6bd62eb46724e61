"""Tuning: recall is measured rightly, the ladder stops where it should, and given options are honoured."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from lookalike.errors import Incompatible, InvalidInput, StoreUnavailable, UnsupportedMetric
from lookalike.indexes import IndexSpec, build_index, check_metric, exact_search, open_index
from lookalike.indexes.annoy_index import _need_room, default_trees
from lookalike.indexes.base import effort_for
from lookalike.indexes.tuning import EXACT_SAMPLE, climb, measure, reference, sample_size, tune


def gaussian(count, dimension=16, seed=0):
    """No structure at all: the hardest case for trees."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def weak(tmp_path):
    """An index of one tree, tuned for next to nothing."""
    spec = build_index("annoy", "cosine", [gaussian(2_000)], 16, tmp_path, n_trees=1, search_k=20)
    return open_index(spec, tmp_path)


def test_the_reference_leaves_the_row_itself_out():
    vectors = gaussian(300)
    truth = reference(vectors, "l2", seed=1, sample=40)
    assert len(set(truth.rows.tolist())) == 40
    for row, distances in zip(truth.rows, truth.distances, strict=True):
        everyone = np.linalg.norm(vectors.astype(np.float64) - vectors[row], axis=1)
        np.testing.assert_allclose(distances, np.sort(np.delete(everyone, row))[:10], rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "dimension", "metric", "expected"),
    [
        (3, 1_280, "cosine", 3),
        (100_000, 1_280, "cosine", 200),
        (1_000_000, 1_280, "cosine", 156),
        (100_000_000, 1_280, "cosine", 50),
        (100_000, 256, "l1", 195),
        (100_000, 1_280, "l1", 50),
    ],
)
def test_the_sample_is_what_a_build_can_afford(size, dimension, metric, expected):
    assert sample_size(size, dimension, metric) == expected


def test_the_reference_is_the_same_for_the_same_seed():
    vectors = gaussian(500)
    first, again, other = (reference(vectors, "l2", seed=seed, sample=30) for seed in (1, 1, 2))
    assert first.rows.tolist() == again.rows.tolist() != other.rows.tolist()


@pytest.mark.parametrize(("count", "recall_at"), [(1, 0), (2, 1), (8, 7), (50, 10)])
def test_recall_is_over_as_many_as_there_are(count, recall_at, tmp_path):
    spec = build_index("annoy", "cosine", [gaussian(count)], 16, tmp_path)
    assert spec.measured["recall_at"] == recall_at
    assert spec.measured["recall"] == 1


def test_measured_recall_is_the_share_of_the_exact_ten(weak):
    truth = reference(weak.vectors, "cosine", seed=4)
    step = measure(weak, truth, 300)
    shares = []
    for row in truth.rows:
        exact = exact_search(weak.vectors[row], weak.vectors, 11, "cosine")[0]
        found = weak.search(weak.vectors[row], 11, effort=300)[0]
        exact, found = exact[exact != row], found[found != row][:10]
        shares.append(len(set(exact) & set(found)) / 10)
    assert 0.2 < step.recall < 0.9
    assert step.recall == pytest.approx(np.mean(shares), abs=1e-4)
    assert step.standard_error == pytest.approx(np.std(shares) / np.sqrt(200), abs=1e-4)


def test_duplicates_do_not_lower_recall(tmp_path):
    vectors = np.repeat(gaussian(20), 50, axis=0)
    spec = build_index("annoy", "cosine", [vectors], 16, tmp_path)
    assert spec.measured["recall"] == 1


def test_the_ladder_doubles_until_the_target_is_surely_reached_and_tries_the_middle(weak):
    truth = reference(weak.vectors, "cosine", seed=4)
    *steps, middle = climb(weak, truth, 10, 0.8)
    assert [step.effort for step in steps] == [10 * 2**n for n in range(len(steps))]
    assert steps[-1].recall - steps[-1].standard_error >= 0.8
    assert all(step.recall - step.standard_error < 0.8 for step in steps[:-1])
    assert all(low.recall <= high.recall for low, high in pairwise(steps))
    assert middle.effort == pytest.approx(steps[-1].effort / 2**0.5, abs=1)


def test_a_first_step_that_is_enough_is_the_only_one(weak):
    truth = reference(weak.vectors, "cosine", seed=4)
    assert [step.effort for step in climb(weak, truth, 1_500, 0.5)] == [1_500]


def test_the_ladder_ends_with_an_exact_search(weak):
    steps = list(climb(weak, reference(weak.vectors, "cosine", seed=4), 900, 1.0))
    assert [step.effort for step in steps] == [900, 1_800, 2_000, 1_414]
    assert steps[2].recall == 1
    assert steps[2].sample == EXACT_SAMPLE


def test_the_least_effort_that_reaches_the_target_is_chosen(weak):
    chosen = tune(weak, given=None, start=10, target=0.8, seed=4)
    reached = [s["effort"] for s in chosen["ladder"] if s["recall"] - s["standard_error"] >= 0.8]
    assert chosen["effort"] == min(reached)
    assert [s["effort"] for s in chosen["ladder"]] == sorted(s["effort"] for s in chosen["ladder"])


def test_the_choice_and_the_way_to_it_are_written_down(tmp_path):
    said = []
    spec = build_index("annoy", "cosine", [gaussian(3_000)], 16, tmp_path, progress=said.append)
    ladder = {step["effort"]: step for step in spec.measured["ladder"]}
    assert spec.parameters["n_trees"] == 20
    assert min(ladder) == 200 < spec.parameters["search_k"]
    assert spec.measured["recall"] == ladder[spec.parameters["search_k"]]["recall"] >= 0.95
    assert spec.measured["sample"] == 200
    assert spec.measured["latency_ms"] > 0
    assert len(said) == 1 + len(ladder)
    assert open_index(spec, tmp_path).effort == spec.parameters["search_k"]


def test_given_values_are_used_and_measured_all_the_same(tmp_path):
    spec = build_index("annoy", "cosine", [gaussian(3_000)], 16, tmp_path, n_trees=3, search_k=40)
    assert (spec.parameters["n_trees"], spec.parameters["search_k"]) == (3, 40)
    assert 0 < spec.measured["recall"] < 0.95
    assert [step["effort"] for step in spec.measured["ladder"]] == [40]
    from annoy import AnnoyIndex

    forest = AnnoyIndex(16, "angular")
    forest.load(str(tmp_path / spec.files[0]))
    assert forest.get_n_trees() == 3


def test_given_breadth_of_faiss_is_used(tmp_path):
    spec = build_index("faiss", "l2", [gaussian(2_000)], 16, tmp_path, search_k=12)
    assert spec.parameters["ef"] == 12
    assert 0 < spec.measured["recall"] < 1
    assert open_index(spec, tmp_path).effort == 12


def test_more_trees_for_more_vectors():
    assert default_trees(1_282, 1_280) == 1
    assert [default_trees(size, 256) for size in (1_000, 10_000_000)] == [20, 40]


def test_effort_grows_with_the_root_of_the_limit():
    assert effort_for(10, 800) == effort_for(1, 800) == 800
    assert effort_for(100, 800) == 2_530
    assert effort_for(100, 16) == 200


@pytest.mark.parametrize(
    ("engine", "options", "message"),
    [
        ("annoy", {"n_trees": 0}, "n_trees is out of range; got 0; expected at least 1"),
        ("annoy", {"search_k": -5}, "search_k is out of range; got -5"),
        ("annoy", {"recall_target": 0}, "recall_target is out of range; got 0"),
        ("annoy", {"recall_target": 1.01}, "recall_target is out of range; got 1.01"),
        ("faiss", {"n_trees": 5}, "n_trees is an option of the engine annoy"),
        ("exact", {"n_trees": 5}, "n_trees is an option of the engine annoy"),
        ("exact", {"search_k": 5}, "search_k does not apply to the engine exact"),
        ("scann", {}, r"no such engine; got scann; expected annoy \| exact \| faiss"),
    ],
)
def test_options_that_cannot_be(engine, options, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        build_index(engine, "cosine", [gaussian(20)], 16, tmp_path, **options)


def test_metrics_are_checked_without_a_build():
    check_metric("annoy", "l1")
    with pytest.raises(UnsupportedMetric, match="annoy or exact"):
        check_metric("faiss", "l1")
    with pytest.raises(UnsupportedMetric, match="got hamming; expected cosine"):
        check_metric("exact", "hamming")


@pytest.mark.parametrize("change", [{"format": 2}, {"engine": "scann"}, {"metric": "dot"}, {"colour": "red"}])
def test_descriptions_from_elsewhere_are_refused(change):
    spec = IndexSpec("exact", "l2", 4, 0)
    assert IndexSpec.from_json(spec.to_json()) == spec
    with pytest.raises(Incompatible):
        IndexSpec.from_json({**spec.to_json(), **change})


def test_a_full_disk_is_an_error_and_not_a_crash(tmp_path):
    _need_room(tmp_path, 1)
    with pytest.raises(StoreUnavailable, match=rf"no room.*expected {2**62} bytes"):
        _need_room(tmp_path, 2**62)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_engines_are_imported_only_when_used():
    done = run(
        "import sys, lookalike.indexes, lookalike.confidence\n"
        "print(sorted({'annoy', 'faiss', 'pyarrow', 'hnswlib'} & set(sys.modules)))"
    )
    assert done.stdout == "[]\n", done.stderr


def test_a_missing_faiss_names_the_extra():
    done = run(
        "import sys, tempfile, pathlib\n"
        "sys.modules['faiss'] = None  # what Python itself records for a module that cannot be imported\n"
        "from lookalike.indexes import build_index\n"
        "build_index('faiss', 'l2', [], 4, pathlib.Path(tempfile.gettempdir()))"
    )
    assert "InvalidInput: the engine faiss is not installed" in done.stderr
    assert "lookalike[faiss]" in done.stderr
