"""Exact distances and search: equal to float64 numpy where float32 alone would not be."""

import tracemalloc

import numpy as np
import pytest

from lookalike.errors import InvalidInput, UnsupportedMetric
from lookalike.indexes import exact_distances, exact_search, exact_search_many, score_from_distance
from lookalike.types import METRICS

every_metric = pytest.mark.parametrize("metric", METRICS)


def make(count, dimension, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def by_numpy(query, vectors, metric):
    query, vectors = query.astype(np.float64), vectors.astype(np.float64)
    if metric == "cosine":
        return 1 - vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    difference = vectors - query
    return np.abs(difference).sum(axis=1) if metric == "l1" else np.sqrt((difference**2).sum(axis=1))


def strided(vectors):
    """The same rows as fields of larger records, as in an index file."""
    node = np.dtype([("head", "<i4", (3,)), ("vector", "<f4", (vectors.shape[1],))])
    records = np.zeros(len(vectors), node)
    records["vector"] = vectors
    return records["vector"]


@every_metric
@pytest.mark.parametrize("dimension", [1, 7, 300, 1_280])
def test_distances_of_plain_and_strided_rows(metric, dimension):
    vectors = make(500, dimension)
    query = make(1, dimension, seed=1)[0] * (3 if metric == "cosine" else 1)
    for rows in (vectors, strided(vectors), vectors[:0], vectors[:1]):
        found = exact_distances(query, rows, metric)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, by_numpy(query, rows, metric), rtol=1e-5, atol=2e-6)


@every_metric
def test_search_over_chosen_rows(metric):
    vectors = strided(make(5_000, 64))
    query = make(1, 64, seed=1)[0]
    chosen = np.random.default_rng(2).permutation(5_000)[:3_000]
    rows, distances = exact_search(query, vectors, 25, metric, chosen)
    expected = by_numpy(query, vectors, metric)
    order = np.sort(chosen)[np.argsort(expected[np.sort(chosen)], kind="stable")][:25]
    assert rows.tolist() == order.tolist()
    np.testing.assert_allclose(distances, expected[order], rtol=1e-6)
    assert exact_search(query, vectors, 25, metric, chosen[:4])[0].shape == (4,)
    assert exact_search(query, vectors, 25, metric, chosen[:0])[0].shape == (0,)


@every_metric
def test_many_queries_find_what_each_finds_alone(metric):
    vectors = strided(make(3_000, 48))
    queries = np.concatenate([vectors[:300], make(20, 48, seed=3)])
    rows, distances = exact_search_many(queries, vectors, 12, metric)
    for query, found, found_distances in zip(queries, rows, distances, strict=True):
        alone = exact_search(query, vectors, 12, metric)
        assert found.tolist() == alone[0].tolist()
        assert found_distances.tolist() == alone[1].tolist()
    others, _ = exact_search_many(queries[:300], vectors, 11, metric, exclude=np.arange(300))
    for row in range(300):
        assert others[row].tolist() == [found for found in rows[row].tolist() if found != row][:11]


@every_metric
@pytest.mark.parametrize("count", [0, 1, 2])
def test_many_queries_over_hardly_any_rows(metric, count):
    vectors = make(count, 8)
    rows, distances = exact_search_many(make(3, 8, seed=1), vectors, 5, metric)
    assert rows.shape == distances.shape == (3, count)
    assert exact_search_many(vectors, vectors, 5, metric, exclude=np.arange(count))[0].shape == (
        count,
        max(0, count - 1),
    )


@every_metric
def test_equal_distances_come_in_the_order_of_rows_wherever_they_are_cut(metric):
    vectors = np.repeat(make(4, 200), 700, axis=0)[np.random.default_rng(0).permutation(2_800)]
    query = vectors[0]
    same = np.flatnonzero((vectors == query).all(axis=1))
    for limit in (1, 10, 333):
        rows, distances = exact_search(query, vectors, limit, metric)
        assert rows.tolist() == same[:limit].tolist()
        assert (distances == 0).all()


def test_near_duplicates_keep_their_order_far_below_the_precision_of_a_float32_product():
    query = make(1, 1_280)[0]
    step = np.random.default_rng(7).standard_normal(1_280).astype(np.float32) * np.float32(1e-6)
    near = np.stack([query + np.float32(n) * step for n in range(1, 40)])
    vectors = np.concatenate([make(500, 1_280, seed=1), near[::-1], query[None]])
    rows, distances = exact_search(query, vectors, 40, "cosine")
    assert rows.tolist() == list(range(539, 499, -1))
    assert distances[0] == 0
    assert (np.diff(distances) > 0).all()
    assert distances[-1] < 1e-5


def test_l2_of_vectors_far_from_the_origin():
    vectors = make(2_000, 32) + np.float32(1_000)
    expected = np.argsort(by_numpy(vectors[5], vectors, "l2"), kind="stable")[:20]
    assert exact_search(vectors[5], vectors, 20, "l2")[0].tolist() == expected.tolist()
    many = exact_search_many(vectors[5:6], vectors, 20, "l2")
    assert many[0][0].tolist() == expected.tolist()


@every_metric
def test_memory_does_not_grow_with_the_rows(metric):
    vectors = strided(make(40_000, 128))
    queries = np.array(vectors[:50])
    exact_search(queries[0], vectors, 10, metric)
    tracemalloc.start()
    exact_search(queries[0], vectors, 10, metric)
    alone = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Distances and scratch blocks; a copy of the rows would take 20 MB.
    assert alone < 3e6
    tracemalloc.start()
    exact_search_many(queries, vectors, 10, metric)
    together = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert together < 120e6


@every_metric
def test_scores_order_as_distances_do(metric):
    distances = [0.0, 0.1, 0.5, 1.0, 2.0]
    scores = [score_from_distance(distance, metric) for distance in distances]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1
    assert scores[3] == (0 if metric == "cosine" else 0.5)


def test_what_cannot_be_searched():
    vectors = make(10, 4)
    with pytest.raises(InvalidInput, match="got 5; expected 4"):
        exact_search(np.ones(5, np.float32), vectors, 3, "l2")
    with pytest.raises(InvalidInput, match="got 5; expected 4"):
        exact_search_many(np.ones((2, 5), np.float32), vectors, 3, "l2")
    with pytest.raises(InvalidInput, match="limit is out of range; got 0"):
        exact_search(vectors[0], vectors, 0, "l2")
    with pytest.raises(UnsupportedMetric, match="got dot"):
        exact_distances(vectors[0], vectors, "dot")
