"""Confidence: monotone, inside (0, 1), right on data whose probabilities are known, absent without labels."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.confidence import (
    Calibration,
    calibrate,
    expected_calibration_error,
)
from lookalike.errors import Incompatible
from lookalike.indexes import exact_search
from lookalike.isotonic import fit_isotonic, pool_adjacent_violators

scores = st.floats(-1, 1, allow_nan=False, width=32)
pairs = st.lists(st.tuples(scores, st.booleans()), min_size=1, max_size=200)


def unit(vectors):
    vectors = vectors.astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clustered(count, *, classes=8, dimension=16, spread=1.2, seed=1):
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((classes, dimension))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    vectors = unit(centres[labels] + spread * rng.standard_normal((count, dimension)))
    return vectors, [f"class {label}" for label in labels]


def exact(vectors, metric="cosine"):
    return lambda query, limit: exact_search(query, vectors, limit, metric)


@given(pairs)
def test_the_fit_never_decreases_and_never_says_certainly(observed):
    knots, values = fit_isotonic(
        np.array([s for s, _ in observed], np.float64), np.array([y for _, y in observed], bool)
    )
    assert (np.diff(knots) > 0).all()
    assert (np.diff(values) >= 0).all()
    assert values.min() > 0
    assert values.max() < 1


@given(pairs, st.lists(st.floats(-3, 3, allow_nan=False), min_size=2, max_size=50))
def test_a_calibration_never_decreases_between_its_knots(observed, asked):
    knots, values = fit_isotonic(
        np.array([s for s, _ in observed], np.float64), np.array([y for _, y in observed], bool)
    )
    calibration = Calibration(tuple(knots.tolist()), tuple(values.tolist()), len(observed), 0.0)
    answers = [calibration(score) for score in sorted(asked)]
    assert answers == sorted(answers)
    assert all(0 < answer < 1 for answer in answers)
    np.testing.assert_allclose(answers, np.interp(sorted(asked), knots, values), rtol=1e-9)
    assert [calibration(knot) for knot in knots] == values.tolist()


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 5)), min_size=1, max_size=12))
def test_pool_adjacent_violators_gives_the_least_squares_answer(entries):
    values = np.array([v for v, _ in entries])
    weights = np.array([w for _, w in entries], np.float64)
    means, sizes = pool_adjacent_violators(values, weights)

    def mean(a, b):
        return np.average(values[a : b + 1], weights=weights[a : b + 1])

    # Barlow et al. 1972, theorem 1.1: the max–min formula.
    count = len(entries)
    expected = [max(min(mean(a, b) for b in range(i, count)) for a in range(i + 1)) for i in range(count)]
    assert sizes.sum() == count
    np.testing.assert_allclose(np.repeat(means, sizes), expected, atol=1e-12)


def test_recovers_a_known_probability():
    rng = np.random.default_rng(3)
    observed = rng.uniform(0, 1, 20_000)
    truth = 1 / (1 + np.exp(-10 * (observed - 0.6)))
    knots, values = fit_isotonic(observed, rng.uniform(size=len(observed)) < truth)
    asked = np.linspace(0.05, 0.95, 50)
    expected = 1 / (1 + np.exp(-10 * (asked - 0.6)))
    assert np.abs(np.interp(asked, knots, values) - expected).max() < 0.06


def test_few_pairs_are_not_certainty():
    _, values = fit_isotonic(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert values[0] == pytest.approx(0.5 / 3)
    assert values[-1] == pytest.approx(2.5 / 3)


def test_confidence_is_right_as_often_as_it_says_on_items_it_never_saw():
    vectors, labels = clustered(1_200)
    calibration = calibrate(vectors, labels, exact(vectors), "cosine")
    assert calibration is not None
    assert calibration.pairs == 10_000
    assert calibration.expected_calibration_error < 0.03

    fresh, fresh_labels = clustered(400, seed=2)
    confidence, same = [], []
    for query, label in zip(fresh, fresh_labels, strict=True):
        rows, distances = exact_search(query, vectors, 10, "cosine")
        confidence += [calibration(1 - float(d)) for d in distances]
        same += [labels[row] == label for row in rows]
    assert expected_calibration_error(np.array(confidence), np.array(same)) < 0.05
    # It tells right from wrong matches, not only the average.
    assert np.mean(np.array(confidence)[same]) > np.mean(np.array(confidence)[~np.array(same)]) + 0.05


def test_labels_without_meaning_give_the_chance_rate():
    vectors, _ = clustered(800)
    labels = [f"class {n}" for n in np.random.default_rng(5).integers(0, 4, len(vectors))]
    calibration = calibrate(vectors, labels, exact(vectors), "cosine")
    assert calibration is not None
    assert np.interp(0.5, calibration.scores, calibration.probabilities) == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
def test_confidence_falls_to_chance_for_what_is_like_nothing_here(metric):
    vectors, labels = clustered(600, spread=0.8)
    calibration = calibrate(vectors, labels, exact(vectors, metric), metric)
    assert calibration is not None
    assert calibration(-1) == pytest.approx(1 / 8, abs=0.05)
    assert calibration(1) > 0.9


@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_scores_of_other_metrics(metric):
    vectors, labels = clustered(400, spread=0.6)
    calibration = calibrate(vectors, labels, exact(vectors, metric), metric)
    assert calibration is not None
    assert 0 < calibration.scores[0] < calibration.scores[-1] <= 1
    assert calibration(calibration.scores[-1]) > calibration(calibration.scores[0])


def test_only_labelled_neighbours_count_and_never_the_item_itself():
    vectors, labels = clustered(300)
    some = [label if row % 2 else None for row, label in enumerate(labels)]
    calibration = calibrate(vectors, some, exact(vectors), "cosine")
    expected = 0
    for row in range(1, 300, 2):
        rows, _ = exact_search(vectors[row], vectors, 11, "cosine")
        expected += sum(1 for found in rows if found != row and found % 2)
    assert calibration is not None
    assert calibration.pairs == expected


def test_the_sample_bounds_the_cost_and_the_seed_fixes_it():
    vectors, labels = clustered(300)
    asked = []

    def search(query, limit):
        asked.append(limit)
        return exact_search(query, vectors, limit, "cosine")

    first = calibrate(vectors, labels, search, "cosine", sample=60)
    assert asked == [11] * 60
    assert first == calibrate(vectors, labels, search, "cosine", sample=60)
    assert first != calibrate(vectors, labels, search, "cosine", sample=60, seed=1)


def test_absent_where_labels_cannot_say():
    vectors, labels = clustered(200)
    search = exact(vectors)
    assert calibrate(vectors, [None] * 200, search, "cosine") is None
    assert calibrate(vectors, ["one"] * 200, search, "cosine") is None
    assert calibrate(vectors, labels[:49] + [None] * 151, search, "cosine") is None
    # Every item its own class: no pair of one class.
    assert calibrate(vectors, [str(row) for row in range(200)], search, "cosine") is None
    assert calibrate(vectors, labels, search, "cosine") is not None


def test_classes_far_apart_are_confident_near_and_at_chance_far():
    # No neighbour is of another class; random pairs say what a low score means.
    apart = unit(np.concatenate([np.ones((60, 4)), -np.ones((60, 4))]) + 0.001 * np.arange(120)[:, None])
    calibration = calibrate(apart, ["a"] * 60 + ["b"] * 60, exact(apart), "cosine")
    assert calibration is not None
    assert 0.99 < calibration(1.0) < 1
    assert calibration(-1.0) < 0.6


def test_json_round_trip_and_another_format():
    vectors, labels = clustered(200)
    calibration = calibrate(vectors, labels, exact(vectors), "cosine")
    assert calibration is not None
    text = json.dumps(calibration.to_json())
    assert Calibration.from_json(json.loads(text)) == calibration
    with pytest.raises(Incompatible, match="got 7; expected 1"):
        Calibration.from_json({**calibration.to_json(), "format": 7})


def error_on(calibration, vectors, labels, queries, query_labels):
    confidence, same = [], []
    for query, label in zip(queries, query_labels, strict=True):
        rows, distances = exact_search(query, vectors, 10, "cosine")
        confidence += [calibration(1 - float(d)) for d in distances]
        same += [labels[row] == label for row in rows]
    return expected_calibration_error(np.array(confidence), np.array(same))


def test_held_out_items_ask_where_the_encoder_knows_the_others_too_well():
    # As an encoder sees what it was trained on: classes tight; others are spread.
    easy, easy_labels = clustered(900, classes=10, spread=0.5, seed=1)
    asking, asking_labels = clustered(300, classes=10, spread=1.8, seed=2)
    fresh, fresh_labels = clustered(400, classes=10, spread=1.8, seed=3)
    vectors, labels = easy, easy_labels
    everything = np.concatenate([vectors, asking])
    every_label = labels + asking_labels
    held_out = np.arange(len(everything)) >= len(vectors)

    def calibrated(held_out):
        got = calibrate(everything, every_label, exact(everything), "cosine", held_out=held_out)
        assert got is not None
        return got

    def judge(calibration):
        return error_on(calibration, vectors, labels, fresh, fresh_labels)

    assert judge(calibrate(vectors, labels, exact(vectors), "cosine")) > 0.2
    assert judge(calibrated(None)) > 0.07
    assert judge(calibrated(held_out)) < 0.05
    # Too few to learn from: all ask.
    few = np.arange(len(everything)) < 19
    assert calibrated(few) == calibrated(None)


def test_held_out_items_do_not_answer():
    vectors, labels = clustered(400)
    held_out = np.arange(400) % 2 == 0
    calibration = calibrate(vectors, labels, exact(vectors), "cosine", held_out=held_out)
    others = [row for row in range(400) if not held_out[row]]
    expected = 0
    for row in np.flatnonzero(held_out):
        rows, _ = exact_search(vectors[row], vectors, 44, "cosine")
        expected += len([found for found in rows if found in others][:10])
    assert calibration is not None
    assert calibration.pairs == expected


def test_many_scores_at_once_are_what_each_alone_is():
    vectors, labels = clustered(300)
    calibration = calibrate(vectors, labels, exact(vectors), "cosine")
    asked = np.linspace(-1, 1, 60)
    np.testing.assert_allclose(calibration.many(asked), [calibration(score) for score in asked], atol=1e-12)
