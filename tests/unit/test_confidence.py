"""Confidence: right as often as it says, never lower for a higher score, absent with a reason."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.confidence import (
    NEAREST,
    NEIGHBORS,
    ConfidenceModel,
    Neighborhood,
    expected_calibration_error,
    fit_confidence,
    learn,
)
from lookalike.confidence.fit import near_copies
from lookalike.confidence.logistic import fit_logistic
from lookalike.confidence.none_of_these import none_of_these
from lookalike.errors import Incompatible
from lookalike.indexes import exact_search
from lookalike.types import score_from_distance

MODEL = ConfidenceModel(
    intercept=-0.5,
    score_weight=1.2,
    share_weight=0.8,
    lead_weight=0.9,
    temperature=0.05,
    neighbors=NEIGHBORS,
    categories=10,
    surest=0.999,
    usual_best=0.7,
    usual_spread=0.1,
    likely=0.75,
    maybe=0.2,
    pairs=1_000,
    expected_calibration_error=0.02,
)
numbers = st.floats(-1, 1, allow_nan=False, width=32)
neighbors = st.lists(st.tuples(numbers, st.sampled_from([*"abcde", None])), max_size=80)


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


def fitted(vectors, labels, metric="cosine", **options):
    model, reason = fit_confidence(vectors, labels, exact(vectors, metric), metric, **options)
    assert model is not None
    assert reason is None
    return model


def ask(model, vectors, labels, queries, query_labels, metric="cosine", nearest=NEAREST):
    """Confidence of the nearest matches of each query, and whether they are right; both (q, nearest)."""
    said, same = [], []
    for query, label in zip(queries, query_labels, strict=True):
        rows, distances = exact_search(query, vectors, NEIGHBORS, metric)
        scores = [score_from_distance(d, metric) for d in distances.tolist()]
        found = [labels[row] for row in rows]
        judgement = model.judge(scores, found)
        said.append([judgement.confidence(c, s) for c, s in zip(found[:nearest], scores, strict=False)])
        same.append([c == label for c in found[:nearest]])
    return np.array(said), np.array(same)


# The regression


def test_a_regression_finds_the_weights_that_made_its_data():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((40_000, 3)) * (1, 0.1, 5) + (0, 3, -2)
    truth = np.array([0.8, 6.0, 0.2])
    chance = 1 / (1 + np.exp(-(features @ truth - 18)))
    intercept, weights = fit_logistic(features, rng.uniform(size=len(features)) < chance)
    np.testing.assert_allclose(weights, truth, rtol=0.06)
    assert intercept == pytest.approx(-18, rel=0.06)


def test_a_weight_that_would_be_negative_is_none_and_the_rest_is_the_best_without_it():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((5_000, 2))
    outcomes = rng.uniform(size=5_000) < 1 / (1 + np.exp(-(features @ (1.5, -1.0))))
    intercept, weights = fit_logistic(features, outcomes)
    alone = fit_logistic(features[:, :1], outcomes)
    assert weights[1] == 0
    assert weights[0] == pytest.approx(alone[1][0])
    assert intercept == pytest.approx(alone[0])


def test_classes_that_separate_have_finite_weights():
    features = np.linspace(-1, 1, 100)[:, None]
    _, weights = fit_logistic(features, features[:, 0] > 0)
    assert 1 < weights[0] < 100


def test_features_that_are_all_equal_leave_the_rate():
    intercept, weights = fit_logistic(np.ones((100, 3)), np.arange(100) < 25)
    assert weights.tolist() == [0, 0, 0]
    assert 1 / (1 + np.exp(-intercept)) == pytest.approx(0.25, abs=1e-6)


# One query


@given(neighbors, numbers, numbers)
def test_within_a_category_a_higher_score_is_never_less_sure(near, one, other):
    near = sorted(near, key=lambda pair: -pair[0])
    judgement = MODEL.judge([score for score, _ in near], [category for _, category in near])
    for category in [*"abcde", "never seen"]:
        low, high = (judgement.confidence(category, score) for score in sorted((one, other)))
        assert 0 <= low <= high <= 1
    assert judgement.confidence(None, one) is None


@given(neighbors)
def test_estimates_are_probabilities_of_one_outcome(near):
    near = sorted(near, key=lambda pair: -pair[0])
    judgement = MODEL.judge([score for score, _ in near], [category for _, category in near])
    estimates = judgement.estimates()
    assert sum(one.probability for one in estimates) <= 1 + 1e-9
    assert [one.probability for one in estimates] == sorted(
        (one.probability for one in estimates), reverse=True
    )
    assert {one.category for one in estimates} == {c for _, c in near[:NEIGHBORS]} | {None}


def test_neighbors_that_agree_raise_confidence():
    agreed = MODEL.judge([0.7] * 20, ["a"] * 18 + ["b"] * 2)
    torn = MODEL.judge([0.7] * 20, ["a", "b"] * 10)
    assert agreed.confidence("a", 0.7) > 0.9
    assert 0.2 < torn.confidence("a", 0.7) < 0.6
    assert agreed.confidence("b", 0.7) < 0.1


def test_far_neighbors_hardly_vote():
    judgement = MODEL.judge([0.9, 0.9, *[0.5] * 48], ["a", "a", *["b"] * 48])
    assert judgement.shares["a"] > 0.95


def test_scores_unlike_any_say_none_of_these():
    usual, odd = (MODEL.judge([best] * 10, ["a"] * 10) for best in (0.7, 0.3))
    assert usual.estimates()[0].category == "a"
    assert usual.none < 0.05
    assert odd.estimates()[0].category is None
    assert odd.confidence("a", 0.3) < 0.15
    assert MODEL.judge([], []).none == 1
    chances = [none_of_these(best, MODEL.usual_best, MODEL.usual_spread) for best in np.linspace(1, -1, 200)]
    assert chances == sorted(chances)


def test_words_and_numbers_that_ask_for_a_least_confidence():
    assert [MODEL.likelihood(value) for value in (0.75, 0.5, 0.1, None)] == [
        "likely",
        "maybe",
        "unlikely",
        None,
    ]
    assert [MODEL.least(word) for word in ("likely", "maybe", "unlikely", 0.4)] == [0.75, 0.2, 0.0, 0.4]
    nothing = replace(MODEL, likely=None)
    assert nothing.likelihood(0.999) == "maybe"
    assert nothing.least("likely") > 1
    assert replace(MODEL, maybe=None).least("maybe") == 0.75


# Learned from a collection


def test_confidence_is_right_as_often_as_it_says_on_items_it_never_saw():
    vectors, labels = clustered(1_200)
    model = fitted(vectors, labels)
    assert model.pairs == 1_200 * NEAREST
    assert model.expected_calibration_error < 0.03

    said, same = ask(model, vectors, labels, *clustered(400, seed=2))
    assert expected_calibration_error(said.ravel(), same.ravel()) < 0.05
    # It tells right from wrong matches, not only the average.
    assert said[same].mean() > said[~same].mean() + 0.2
    # And says what the query is.
    likely = said >= model.likely
    assert same[likely].mean() > 0.93
    maybe = (said >= model.maybe) & ~likely
    assert 0.4 < same[maybe].mean() < 0.7
    assert same[said < model.maybe].mean() < 0.3


def test_the_neighborhood_says_more_than_the_score():
    vectors, labels = clustered(1_200, spread=1.6)
    fresh = clustered(300, spread=1.6, seed=2)
    said, same = ask(fitted(vectors, labels), vectors, labels, *fresh)
    brier = np.mean((said - same) ** 2)
    # The best that any function of rank alone could do, fitted on the very answers.
    by_rank = np.mean((same.mean(axis=0) - same) ** 2)
    assert brier < 0.8 * by_rank


def test_labels_without_meaning_give_the_chance_rate():
    vectors, _ = clustered(800)
    labels = [f"class {n}" for n in np.random.default_rng(5).integers(0, 4, len(vectors))]
    said, _ = ask(fitted(vectors, labels), vectors, labels, vectors[:50], labels[:50])
    assert said.mean() == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
def test_every_metric(metric):
    vectors, labels = clustered(600, spread=0.8)
    model = fitted(vectors, labels, metric)
    fresh, fresh_labels = clustered(200, spread=0.8, seed=2)
    said, same = ask(model, vectors, labels, fresh, fresh_labels, metric)
    assert expected_calibration_error(said.ravel(), same.ravel()) < 0.06
    # What is like nothing here.
    rows, distances = exact_search(-20 * vectors.mean(axis=0), vectors, NEIGHBORS, metric)
    scores = [score_from_distance(d, metric) for d in distances.tolist()]
    judgement = model.judge(scores, [labels[row] for row in rows])
    assert judgement.estimates()[0].category is None


def test_categories_far_apart_are_sure_and_not_certain():
    # No neighbor is of another category.
    apart = unit(np.concatenate([np.ones((60, 4)), -np.ones((60, 4))]) + 0.001 * np.arange(120)[:, None])
    model = fitted(apart, ["a"] * 60 + ["b"] * 60)
    judgement = model.judge([1.0] * NEIGHBORS, ["a"] * NEIGHBORS)
    assert 0.95 < judgement.confidence("a", 1.0) < 1
    assert 0 < judgement.confidence("b", -1.0) < 0.05


def test_only_labelled_neighbors_count_and_never_the_item_itself():
    vectors, labels = clustered(300)
    some = [label if row % 2 else None for row, label in enumerate(labels)]
    seen = []

    def search(query, limit):
        rows, distances = exact_search(query, vectors, limit, "cosine")
        seen.append(rows)
        return rows, distances

    model, _ = fit_confidence(vectors, some, search, "cosine")
    assert model is not None
    left_out = near_copies(np.unique([label for label in some if label], return_inverse=True)[1])
    assert 0 < left_out <= 10
    expected = sum(min(NEAREST, int((rows % 2).sum()) - 1 - left_out) for rows in seen)
    assert model.pairs == expected


def test_the_sample_bounds_the_cost_and_the_seed_fixes_it():
    vectors, labels = clustered(300)
    asked = []

    def search(query, limit):
        asked.append(limit)
        return exact_search(query, vectors, limit, "cosine")

    first = fit_confidence(vectors, labels, search, "cosine", sample=60)
    assert asked == [1 + 10 + NEIGHBORS] * 60
    assert first == fit_confidence(vectors, labels, search, "cosine", sample=60)
    assert first != fit_confidence(vectors, labels, search, "cosine", sample=60, seed=1)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([None] * 200, "only 0 of 200 items have a category; confidence needs 50"),
        (["a", "b"] * 20 + [None] * 160, "only 40 of 200 items"),
        (["one"] * 200, "all items have the same category"),
        ([str(row) for row in range(200)], "similar items do not have the same category"),
    ],
)
def test_absent_where_labels_cannot_say_with_the_reason(labels, reason):
    vectors, _ = clustered(200)
    model, why = fit_confidence(vectors, labels, exact(vectors), "cosine")
    assert model is None
    assert reason in why


def test_neighborhoods_that_say_nothing_give_no_model():
    assert learn([], 3) is None
    empty = Neighborhood(np.empty(0), np.empty(0, np.int64), 0)
    assert learn([empty] * 60, 3) is None


def test_bursts_of_one_object_do_not_make_a_collection_look_easy():
    # Eight pictures of each object, nearly the same; strangers show other objects.
    objects, names = clustered(150, spread=1.5)
    vectors = unit(
        np.repeat(objects, 8, axis=0) + 0.02 * np.random.default_rng(0).standard_normal((1_200, 16))
    )
    labels = [name for name in names for _ in range(8)]
    strangers = clustered(300, spread=1.5, seed=2)

    def error(model):
        said, same = ask(model, vectors, labels, *strangers)
        return expected_calibration_error(said.ravel(), same.ravel())

    careful = fitted(vectors, labels)
    held = [
        Neighborhood(
            np.array([score_from_distance(d, "cosine") for d in distances[1:].tolist()]),
            np.array([int(labels[found].removeprefix("class ")) for found in rows[1:]]),
            int(labels[row].removeprefix("class ")),
        )
        for row in range(0, 1_200, 3)
        for rows, distances in [exact_search(vectors[row], vectors, NEIGHBORS + 1, "cosine")]
    ]
    naive = learn(held, 8)
    assert error(naive) > 0.15
    assert error(careful) < 0.6 * error(naive)


def test_small_categories_keep_some_matches():
    assert near_copies(np.repeat(np.arange(20), 300)) == 10
    assert near_copies(np.repeat(np.arange(20), 20)) == 6
    assert near_copies(np.repeat(np.arange(20), 3)) == 0


def test_held_out_items_ask_where_the_encoder_knows_the_others_too_well():
    # As an encoder sees what it was trained on: categories tight; others are spread.
    vectors, labels = clustered(900, classes=10, spread=0.5, seed=1)
    asking, asking_labels = clustered(600, classes=10, spread=1.8, seed=2)
    fresh = clustered(1_600, classes=10, spread=1.8, seed=3)
    everything = np.concatenate([vectors, asking])
    every_label = labels + asking_labels
    held_out = np.arange(len(everything)) >= len(vectors)

    def error(model):
        said, same = ask(model, vectors, labels, *fresh, nearest=10)
        return expected_calibration_error(said.ravel(), same.ravel())

    assert error(fitted(vectors, labels)) > 0.15
    assert error(fitted(everything, every_label, held_out=held_out)) < 0.05
    # Too few to learn from: all ask.
    few = np.arange(len(everything)) < 19
    assert fitted(everything, every_label, held_out=few) == fitted(everything, every_label)


def test_held_out_items_do_not_answer():
    vectors, labels = clustered(400)
    held_out = np.arange(400) % 2 == 0
    model = fitted(vectors, labels, held_out=held_out)
    expected = 0
    for row in np.flatnonzero(held_out):
        rows, _ = exact_search(vectors[row], vectors, (1 + NEIGHBORS) * 2, "cosine")
        expected += min(NEAREST, int((rows % 2).sum()))
    assert model.pairs == expected


def test_json_round_trip_and_another_format():
    vectors, labels = clustered(200)
    model = fitted(vectors, labels)
    assert ConfidenceModel.from_json(json.loads(json.dumps(model.to_json()))) == model
    with pytest.raises(Incompatible, match="got 7; expected 2"):
        ConfidenceModel.from_json({**model.to_json(), "format": 7})
