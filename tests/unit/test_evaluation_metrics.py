"""Retrieval, pairs and the bootstrap, against slow and obvious versions of themselves and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import InvalidInput
from lookalike.evaluation import (
    DEPTHS,
    Difference,
    Draws,
    Interval,
    QueriesAndGallery,
    each_itself,
    map_at_r,
    pair_counts,
    recall_at_k,
    retrieval,
)
from lookalike.evaluation import queries_and_gallery as module
from lookalike.evaluation.pairs import BINS


def directions(degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@st.composite
def problems(draw):
    """Vectors in general position, labels, and pairs that are left out."""
    seed = draw(st.integers(0, 2**32 - 1))
    queries, gallery = draw(st.integers(1, 12)), draw(st.integers(1, 40))
    classes = draw(st.integers(1, 5))
    rng = np.random.default_rng(seed)
    pairs = draw(
        st.lists(st.tuples(st.integers(0, queries - 1), st.integers(0, gallery - 1)), max_size=queries * 3)
    )
    exclude = (
        np.array([q for q, _ in pairs], np.int64),
        np.array([g for _, g in pairs], np.int64),
    )
    return (
        rng.standard_normal((queries, 6)).astype(np.float32),
        [f"c{n}" for n in rng.integers(0, classes, queries)],
        rng.standard_normal((gallery, 6)).astype(np.float32),
        [f"c{n}" for n in rng.integers(0, classes, gallery)],
        exclude,
    )


def cosine(left, right):
    left, right = left.astype(np.float64), right.astype(np.float64)
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def slow_rankings(queries, query_labels, gallery, gallery_labels, exclude):
    """For each query: (score, is of the same class) of what it is compared with, best first."""
    left_out = set(zip(*(side.tolist() for side in exclude), strict=True))
    for q, (query, label) in enumerate(zip(queries, query_labels, strict=True)):
        found = [
            (cosine(query, other), gallery_labels[g] == label)
            for g, other in enumerate(gallery)
            if (q, g) not in left_out
        ]
        yield sorted(found, reverse=True)


@given(problems())
@settings(deadline=None, max_examples=50)
def test_retrieval_is_what_a_slow_ranking_says(problem):
    *sides, exclude = problem
    found = retrieval(*sides, exclude=exclude)
    for q, ranking in enumerate(slow_rankings(*sides, exclude)):
        same = [right for _, right in ranking]
        relevant = sum(same)
        assert found.relevant[q] == relevant
        assert (found.nearest[q] == -1) == (not ranking)
        if ranking:
            assert found.nearest_score[q] == pytest.approx(ranking[0][0], abs=1e-5)
        if not relevant:
            assert math.isnan(found.average_precision[q])
            assert all(math.isnan(found.hits[k][q]) for k in DEPTHS)
            continue
        assert all(found.hits[k][q] == any(same[:k]) for k in DEPTHS)
        precision = [sum(same[: i + 1]) / (i + 1) for i in range(relevant)]
        expected = sum(p for p, right in zip(precision, same, strict=False) if right) / relevant
        assert found.average_precision[q] == pytest.approx(expected)


@given(problems(), st.integers(1, 60))
@settings(deadline=None, max_examples=50)
def test_the_size_of_a_block_changes_nothing(problem, numbers):
    *sides, exclude = problem
    whole, pairs = retrieval(*sides, exclude=exclude), pair_counts(*sides, exclude=exclude)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_NUMBERS", numbers)
        parts, part_pairs = retrieval(*sides, exclude=exclude), pair_counts(*sides, exclude=exclude)
    np.testing.assert_array_equal(whole.average_precision, parts.average_precision)
    np.testing.assert_array_equal(whole.nearest, parts.nearest)
    np.testing.assert_array_equal(whole.relevant, parts.relevant)
    # A block of another height is another product of matrices: the last bit of a score may differ.
    np.testing.assert_array_equal(pairs.histogram(32)[0].sum(), part_pairs.histogram(32)[0].sum())
    assert pairs.different.sum() == part_pairs.different.sum()


@given(problems(), st.floats(0.05, 1))
@settings(deadline=None, max_examples=50)
def test_thresholds_are_what_sorting_all_pairs_says(problem, wanted):
    *sides, exclude = problem
    pairs = sorted((pair for ranking in slow_rankings(*sides, exclude) for pair in ranking), reverse=True)
    counts = pair_counts(*sides, exclude=exclude)
    assert counts.same.sum() == sum(right for _, right in pairs)
    assert counts.different.sum() == sum(not right for _, right in pairs)
    total = sum(right for _, right in pairs)
    best = 0.0
    for taken in range(1, len(pairs) + 1):
        right = sum(same for _, same in pairs[:taken])
        if right / taken >= wanted:
            best = right / total
    got = counts.at_precision(wanted)
    assert got.recall == pytest.approx(best)
    if best:
        assert got.precision >= wanted
        assert counts.at_score(got.score) == got
        taken = [same for score, same in pairs if score >= got.score - 4 / BINS]
        assert sum(taken) / total == pytest.approx(got.recall)
    else:
        assert got.score is None


def test_by_hand():
    # One query at 0°; gallery: a at 10°, b at 20°, a at 30°, b at 40°, a at 170°. R = 3.
    gallery = directions([10, 20, 30, 40, 170])
    labels = ["a", "b", "a", "b", "a"]
    query = directions([0])
    assert recall_at_k(query, ["a"], gallery, labels) == 1
    assert recall_at_k(query, ["b"], gallery, labels) == 0
    assert recall_at_k(query, ["b"], gallery, labels, 5) == 1
    # Right at places 1 and 3 of 3: (1/1 + 2/3) / 3.
    assert map_at_r(query, ["a"], gallery, labels) == pytest.approx((1 + 2 / 3) / 3)
    # Right at place 2 of 2: (1/2) / 2.
    assert map_at_r(query, ["b"], gallery, labels) == pytest.approx(0.25)
    counts = pair_counts(query, ["a"], gallery, labels)
    # From the top: a b a b a. Precision 1, 1/2, 2/3, 1/2, 3/5 at recall 1/3, 1/3, 2/3, 2/3, 1.
    _, precision, recall = counts.curve()
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3, 1 / 2, 3 / 5])
    np.testing.assert_allclose(recall, [1 / 3, 1 / 3, 2 / 3, 2 / 3, 1])
    assert counts.at_precision(0.65).recall == pytest.approx(2 / 3)
    assert counts.at_precision(0.65).score == pytest.approx(math.cos(math.radians(30)), abs=1e-5)
    assert counts.at_precision(0.6).recall == 1
    assert counts.at_precision(0.92).recall == pytest.approx(1 / 3)
    assert counts.at_score(math.cos(math.radians(25))).precision == pytest.approx(1 / 2)
    same, different = counts.histogram(2)  # cosines below 0, and from 0
    assert (same.tolist(), different.tolist()) == ([1, 2], [0, 2])


def test_leave_one_out_never_finds_itself_and_a_class_of_one_does_not_count():
    vectors = directions([0, 1, 90, 91, 45])
    labels = ["a", "a", "b", "b", "alone"]
    found = retrieval(vectors, labels, vectors, labels, exclude=each_itself(5))
    assert found.nearest.tolist()[:4] == [1, 0, 3, 2]
    assert found.relevant.tolist() == [1, 1, 1, 1, 0]
    assert found.recall(1) == 1
    assert found.map_at_r == 1
    counts = pair_counts(vectors, labels, vectors, labels, exclude=each_itself(5))
    assert counts.same.sum() + counts.different.sum() == 20


def test_vectors_are_compared_by_direction_and_a_zero_vector_does_no_harm():
    vectors = np.array([[3, 0], [0.1, 0.01], [0, 5], [0, 0]], np.float32)
    found = retrieval(vectors[:1], ["a"], vectors[1:], ["a", "b", "c"])
    assert found.nearest.tolist() == [0]
    assert found.nearest_score[0] == pytest.approx(10 / math.hypot(10, 1))


def test_a_collapsed_encoder_is_no_better_than_chance():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 500)
    vectors = np.ones((500, 8), np.float32)
    assert recall_at_k(vectors, labels, vectors, labels, exclude=each_itself(500)) < 0.2
    assert pair_counts(vectors, labels, vectors, labels).at_precision(0.92).score is None


def test_what_cannot_be_evaluated_says_why():
    good = np.ones((2, 3), np.float32)
    with pytest.raises(InvalidInput, match="there are no query vectors"):
        retrieval(good[:0], [], good, ["a", "b"])
    with pytest.raises(InvalidInput, match="every gallery vector needs a label; got 1; expected 2"):
        retrieval(good, ["a", "b"], good, ["a"])
    with pytest.raises(InvalidInput, match="different dimensions; got dimension 3; expected 4"):
        retrieval(good, ["a", "b"], np.ones((1, 4), np.float32), ["a"])
    with pytest.raises(InvalidInput, match="not finite"):
        retrieval(good * np.nan, ["a", "b"], good, ["a", "b"])
    with pytest.raises(InvalidInput, match="no queries to resample"):
        Draws(0)


def test_the_interval_of_a_mean_is_as_wide_as_theory_says():
    rng = np.random.default_rng(1)
    values = (rng.uniform(size=400) < 0.8).astype(float)
    values[::10] = np.nan
    known = values[~np.isnan(values)]
    interval = Interval.of(float(known.mean()), Draws(400).mean(values))
    spread = 1.96 * known.std() / math.sqrt(len(known))
    assert interval.low == pytest.approx(known.mean() - spread, abs=0.2 * spread)
    assert interval.high == pytest.approx(known.mean() + spread, abs=0.2 * spread)


def test_many_queries_in_groups_have_the_spread_of_queries_alone():
    values = np.random.default_rng(2).normal(size=5_000)
    draws = Draws(5_000)
    assert draws.times.shape == (1_000, 1_000)
    assert draws.mean(values).std() == pytest.approx(values.std() / math.sqrt(5_000), rel=0.15)


def slow_recall_draws(sides, draws, wanted):
    """The recall at a precision, computed anew from the repeated pairs of each draw."""
    queries, query_labels, gallery, gallery_labels = sides
    scores = np.array([[cosine(query, other) for other in gallery] for query in queries])
    same = np.array([[a == b for b in gallery_labels] for a in query_labels])
    for times in draws.times:
        repeated = np.repeat(np.arange(len(queries)), times[draws.group].astype(int))
        s, y = scores[repeated].ravel(), same[repeated].ravel()
        best = 0.0
        for threshold in np.unique(s):
            taken = s >= threshold
            if y[taken].mean() >= wanted:
                best = max(best, y[taken].sum() / y.sum())
        yield best


def test_the_draws_of_a_recall_are_what_recomputing_says(monkeypatch):
    monkeypatch.setattr("lookalike.evaluation.bootstrap.REPLICATES", 25)
    rng = np.random.default_rng(4)
    centres = rng.standard_normal((3, 5))
    classes = rng.integers(0, 3, 40)
    vectors = (centres[classes] + 0.7 * rng.standard_normal((40, 5))).astype(np.float32)
    sides = (vectors[:15], classes[:15], vectors[15:], classes[15:])
    draws = Draws(15, seed=3)
    got = draws.recall_at_precision(QueriesAndGallery.of(*sides), pair_counts(*sides), 0.8)
    np.testing.assert_allclose(got, list(slow_recall_draws(sides, draws, 0.8)), atol=1e-9)


def test_a_difference_that_is_noise_says_so():
    rng = np.random.default_rng(5)
    draws = Draws(300)
    right = (rng.uniform(size=300) < 0.8).astype(float)
    # Three queries more of 300, seven lost and ten won: nothing that these queries could tell.
    swapped = right.copy()
    swapped[np.flatnonzero(right == 0)[:10]] = 1
    swapped[np.flatnonzero(right == 1)[:7]] = 0
    better = right.copy()
    better[np.flatnonzero(right == 0)[:20]] = 1

    def difference(new, old):
        return Difference.of((new.mean(), draws.mean(new)), (old.mean(), draws.mean(old)))

    assert difference(swapped, right).verdict == "noise"
    assert difference(better, right).verdict == "better"
    assert difference(right, better).verdict == "worse"
    assert difference(right, right).change == Interval(0, 0, 0)
    assert difference(right, right).verdict == "noise"
    # Unpaired intervals of the two overlap; it is the pairing that tells them apart.
    assert (
        Interval.of(better.mean(), draws.mean(better)).low < Interval.of(right.mean(), draws.mean(right)).high
    )
