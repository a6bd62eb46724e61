"""One suite over every engine × metric × dimension: what `Index` promises, against plain numpy."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.errors import Incompatible, InvalidInput, UnsupportedMetric
from lookalike.indexes import IndexSpec, build_index, exact_search_many, open_index
from lookalike.types import ENGINES, METRICS

UNSUPPORTED = {("faiss", "l1")}
PAIRS = [pair for pair in product(ENGINES, METRICS) if pair not in UNSUPPORTED]
DIMENSIONS = (3, 64, 1280)
every_pair = pytest.mark.parametrize(("engine", "metric"), PAIRS)
every_case = pytest.mark.parametrize(
    ("engine", "metric", "dimension"), [(*pair, d) for pair, d in product(PAIRS, DIMENSIONS)]
)


def make(count, dimension, metric, seed=0):
    """Clusters on a curved low-dimensional surface, as embeddings are; of unit length for cosine."""
    rng = np.random.default_rng(99)
    bend, spread = rng.standard_normal((8, 32)), rng.standard_normal((32, dimension))
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((20, 8))[rng.integers(0, 20, count)] + 0.5 * rng.standard_normal((count, 8))
    vectors = np.tanh(latent @ bend / 3) @ spread
    if metric == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def batches(vectors, size=100):
    return (vectors[start : start + size] for start in range(0, len(vectors), size))


def build(engine, metric, vectors, folder, **options):
    spec = build_index(engine, metric, batches(vectors), vectors.shape[1], folder, **options)
    return spec, open_index(spec, folder)


def distances_by_numpy(query, vectors, metric):
    query, vectors = query.astype(np.float64), vectors.astype(np.float64)
    if metric == "l2":
        return np.sqrt(((vectors - query) ** 2).sum(axis=1))
    if metric == "l1":
        return np.abs(vectors - query).sum(axis=1)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    return 1 - np.divide(vectors @ query, lengths, out=np.zeros(len(vectors)), where=lengths > 0)


@every_case
def test_distances_are_numpys_and_rows_are_sorted(engine, metric, dimension, tmp_path):
    vectors = make(400, dimension, metric)
    _, index = build(engine, metric, vectors, tmp_path)
    assert (index.engine, index.metric, index.dimension, index.size) == (engine, metric, dimension, 400)
    for query in make(10, dimension, metric, seed=1):
        rows, distances = index.search(query, 20)
        assert rows.dtype == np.int64
        assert distances.dtype == np.float32
        assert len(set(rows.tolist())) == len(rows) == 20
        assert (np.diff(distances) >= 0).all()
        np.testing.assert_allclose(
            distances, distances_by_numpy(query, vectors, metric)[rows], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_exact_finds_what_numpy_finds(metric, dimension, tmp_path):
    vectors = make(700, dimension, metric)
    _, index = build("exact", metric, vectors, tmp_path)
    for query in make(10, dimension, metric, seed=1):
        rows, _ = index.search(query, 30)
        expected = np.argsort(distances_by_numpy(query, vectors, metric), kind="stable")[:30]
        assert rows.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("engine", "metric", "count", "dimension"),
    [(*pair, 3_000, 64) for pair in PAIRS if pair[0] != "exact"]
    + [("annoy", "cosine", 2_000, 1_280), ("faiss", "cosine", 2_000, 1_280), ("annoy", "l2", 6_000, 8)],
)
def test_recall_reaches_the_target_on_new_queries(engine, metric, count, dimension, tmp_path):
    vectors = make(count + 500, dimension, metric)
    vectors, queries = vectors[:count], vectors[count:]
    spec, index = build(engine, metric, vectors, tmp_path, recall_target=0.95)
    assert spec.measured["recall"] >= 0.95
    assert spec.measured["recall_at"] == 10
    _, exact = exact_search_many(queries, vectors, 10, metric)
    hits = [
        (index.search(query, 10)[1] <= distances[-1] * (1 + 1e-6)).mean()
        for query, distances in zip(queries, exact, strict=True)
    ]
    assert np.mean(hits) >= 0.95


@every_case
def test_the_view_is_what_was_added(engine, metric, dimension, tmp_path):
    vectors = make(250, dimension, metric)
    _, index = build(engine, metric, vectors, tmp_path)
    assert index.vectors.dtype == np.float32
    np.testing.assert_array_equal(index.vectors, vectors)
    with pytest.raises(ValueError, match="read-only"):
        index.vectors[0, 0] = 1


@every_pair
def test_the_view_outlives_its_index(engine, metric, tmp_path):
    vectors = make(200, 16, metric)
    _, index = build(engine, metric, vectors, tmp_path)
    view = index.vectors
    del index
    np.testing.assert_array_equal(view, vectors)


@every_pair
def test_an_item_is_at_distance_zero_of_itself(engine, metric, tmp_path):
    vectors = make(300, 64, metric)
    _, index = build(engine, metric, vectors, tmp_path)
    for row in range(0, 300, 30):
        rows, distances = index.search(vectors[row], 1)
        assert rows.tolist() == [row]
        assert distances[0] == 0


@every_pair
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_fewer_than_asked(engine, metric, count, tmp_path):
    vectors = make(count, 8, metric)
    spec, index = build(engine, metric, vectors, tmp_path)
    assert index.size == len(index.vectors) == count
    rows, distances = index.search(make(1, 8, metric, seed=1)[0], 10)
    assert sorted(rows.tolist()) == list(range(count))
    assert (np.diff(distances) >= 0).all()
    assert bool(spec.files) == (count > 0)


@every_pair
def test_limit_above_the_size_returns_everything(engine, metric, tmp_path):
    vectors = make(600, 16, metric)
    _, index = build(engine, metric, vectors, tmp_path)
    rows, _ = index.search(vectors[3], 10_000)
    assert sorted(rows.tolist()) == list(range(600))


@every_pair
def test_little_effort_still_gives_as_many_as_asked(engine, metric, tmp_path):
    vectors = make(600, 16, metric)
    _, index = build(engine, metric, vectors, tmp_path)
    rows, _ = index.search(vectors[3], 250, effort=1)
    assert len(set(rows.tolist())) == 250


@every_pair
def test_effort_of_the_whole_index_is_exact(engine, metric, tmp_path):
    vectors = make(1_500, 16, metric)
    _, index = build(engine, metric, vectors, tmp_path)
    for query in make(5, 16, metric, seed=1):
        expected = np.argsort(distances_by_numpy(query, vectors, metric), kind="stable")[:50]
        assert index.search(query, 50, effort=1_500)[0].tolist() == expected.tolist()


@every_pair
def test_duplicates_are_all_found_in_the_order_of_rows(engine, metric, tmp_path):
    vectors = np.concatenate([make(300, 16, metric), np.repeat(make(1, 16, metric, seed=5), 40, axis=0)])
    _, index = build(engine, metric, vectors, tmp_path)
    rows, distances = index.search(vectors[-1], 40)
    assert rows.tolist() == list(range(300, 340))
    assert (distances == 0).all()


@every_pair
def test_an_index_of_one_vector_repeated(engine, metric, tmp_path):
    vectors = np.repeat(make(1, 8, metric), 500, axis=0)
    spec, index = build(engine, metric, vectors, tmp_path)
    rows, distances = index.search(vectors[0], 20)
    assert len(set(rows.tolist())) == 20
    assert (distances == 0).all()
    assert spec.measured["recall"] == 1


@every_pair
def test_zero_vectors(engine, metric, tmp_path):
    vectors = make(300, 16, metric)
    vectors[[7, 200]] = 0
    _, index = build(engine, metric, vectors, tmp_path)
    rows, distances = index.search(np.zeros(16, np.float32), 300)
    np.testing.assert_allclose(distances, distances_by_numpy(np.zeros(16), vectors, metric)[rows], rtol=1e-5)
    assert len(rows) == 300
    rows, distances = index.search(vectors[0], 300)
    position = {row: place for place, row in enumerate(rows.tolist())}
    assert distances[position[7]] == distances[position[200]]
    if metric == "cosine":
        assert distances[position[7]] == 1
    else:
        assert rows.tolist()[0] == 0


@every_pair
def test_reload_answers_as_before(engine, metric, tmp_path):
    vectors = make(900, 32, metric)
    spec, built = build(engine, metric, vectors, tmp_path)
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name} moved"))
    again = open_index(IndexSpec.from_json(json.loads(json.dumps(spec.to_json()))), moved)
    for query in make(20, 32, metric, seed=1):
        for ours, theirs in zip(built.search(query, 15), again.search(query, 15), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@every_pair
def test_the_same_vectors_give_the_same_file(engine, metric, tmp_path):
    vectors = make(900, 32, metric)
    files = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        spec = build_index(engine, metric, batches(vectors), 32, folder)
        files.append([(folder / file).read_bytes() for file in spec.files])
    assert files[0] == files[1]


@every_pair
def test_wrong_dimension_names_both_numbers(engine, metric, tmp_path):
    vectors = make(50, 16, metric)
    _, index = build(engine, metric, vectors, tmp_path)
    with pytest.raises(InvalidInput, match="got 15; expected 16"):
        index.search(np.ones(15, np.float32), 3)
    with pytest.raises(InvalidInput, match=r"got shape \(1, 16\); expected 16"):
        index.search(np.ones((1, 16), np.float32), 3)
    with pytest.raises(InvalidInput, match="got 16; expected 17"):
        build_index(engine, metric, batches(vectors), 17, tmp_path)


@every_pair
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_not_finite(engine, metric, wrong, tmp_path):
    vectors = make(150, 16, metric)
    _, index = build(engine, metric, vectors, tmp_path)
    query = vectors[0].copy()
    query[3] = wrong
    with pytest.raises(InvalidInput, match="not finite"):
        index.search(query, 3)
    vectors[120, 5] = wrong
    with pytest.raises(InvalidInput, match="vector 120 "):
        build_index(engine, metric, batches(vectors), 16, tmp_path)


@every_pair
@pytest.mark.parametrize("arguments", [{"limit": 0}, {"limit": -1}, {"limit": 1, "effort": 0}])
def test_limit_and_effort_below_one(engine, metric, arguments, tmp_path):
    _, index = build(engine, metric, make(50, 8, metric), tmp_path)
    with pytest.raises(InvalidInput, match="at least 1"):
        index.search(np.ones(8, np.float32), **arguments)


@pytest.mark.parametrize("engine", ENGINES)
def test_cosine_refuses_vectors_of_other_lengths_but_not_queries(engine, tmp_path):
    vectors = make(150, 16, "cosine")
    _, index = build(engine, "cosine", vectors, tmp_path)
    for ours, theirs in zip(index.search(vectors[4] * 3, 9), index.search(vectors[4], 9), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    vectors[101] *= 2
    with pytest.raises(InvalidInput, match=r"vector 101 is not of unit length.*got 2; expected 1"):
        build_index(engine, "cosine", batches(vectors), 16, tmp_path)


def test_faiss_says_which_engines_do_l1(tmp_path):
    with pytest.raises(UnsupportedMetric, match=r"got l1; expected cosine \| l2.*annoy or exact"):
        build_index("faiss", "l1", [], 8, tmp_path)


@every_pair
def test_a_missing_file_is_named(engine, metric, tmp_path):
    spec, _ = build(engine, metric, make(60, 8, metric), tmp_path)
    (tmp_path / spec.files[0]).unlink()
    with pytest.raises(
        Incompatible, match=f"{spec.files[0]} is missing.*expected {spec.file_bytes[0]} bytes"
    ):
        open_index(spec, tmp_path)


@every_pair
@pytest.mark.parametrize("change", ["cut", "grown", "empty"])
def test_a_file_of_another_size_is_refused_with_both_sizes(engine, metric, change, tmp_path):
    spec, index = build(engine, metric, make(60, 8, metric), tmp_path)
    del index
    path = tmp_path / spec.files[0]
    data = path.read_bytes()
    path.write_bytes({"cut": data[:-100], "grown": data + b"\0" * 100, "empty": b""}[change])
    found = path.stat().st_size
    with pytest.raises(Incompatible, match=f"got {found} bytes; expected {len(data)} bytes"):
        open_index(spec, tmp_path)


@every_pair
def test_a_file_of_other_vectors_is_refused(engine, metric, tmp_path):
    spec, _ = build(engine, metric, make(60, 8, metric), tmp_path)
    other, _ = build(engine, metric, make(60, 8, metric, seed=1), tmp_path)
    with pytest.raises(Incompatible, match=f"expected {spec.checksum:08x}"):
        open_index(replace(spec, file_bytes=other.file_bytes), tmp_path)


@every_pair
@pytest.mark.parametrize("change", [{"size": 59}, {"dimension": 4}, {"dimension": 16}])
def test_a_description_of_another_shape_is_refused(engine, metric, change, tmp_path):
    spec, _ = build(engine, metric, make(60, 8, metric), tmp_path)
    with pytest.raises(Incompatible):
        open_index(replace(spec, **change), tmp_path)


@every_pair
def test_garbage_of_the_right_size_is_refused(engine, metric, tmp_path):
    spec, index = build(engine, metric, make(60, 8, metric), tmp_path)
    del index
    path = tmp_path / spec.files[0]
    path.write_bytes(np.random.default_rng(0).bytes(spec.file_bytes[0]))
    with pytest.raises(Incompatible):
        open_index(spec, tmp_path)


@every_pair
def test_threads_share_an_index(engine, metric, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    vectors = make(2_000, 16, metric)
    _, index = build(engine, metric, vectors, tmp_path)
    expected = [index.search(query, 10)[0].tolist() for query in vectors[:200]]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda query: index.search(query, 10)[0].tolist(), vectors[:200]))
    assert found == expected


@every_pair
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_small_set_of_vectors(engine, metric, data, tmp_path):
    """Coarse values, so that ties, duplicates and zero vectors are common."""
    count, dimension = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 5))
    numbers = data.draw(
        st.lists(st.integers(-2, 2), min_size=count * dimension, max_size=count * dimension), label="numbers"
    )
    vectors = np.array(numbers, np.float32).reshape(count, dimension)
    query = vectors[0].copy()
    if metric == "cosine":
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    _, index = build(engine, metric, vectors, tmp_path)
    limit = data.draw(st.integers(1, 40))
    rows, distances = index.search(query, limit, effort=1_000)
    expected = distances_by_numpy(query, vectors, metric)
    assert len(rows) == min(limit, count)
    np.testing.assert_allclose(distances, np.sort(expected)[: len(rows)], atol=1e-6)
    np.testing.assert_allclose(expected[rows], distances, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_a_view_that_is_not_what_annoy_reads_is_refused(metric, tmp_path):
    from lookalike.indexes.annoy_index import _check_view

    _, index = build("annoy", metric, make(60, 8, metric), tmp_path)
    _check_view(index._forest, index.vectors)
    with pytest.raises(Incompatible, match=r"vector 0 is not where it is expected; got annoy \d"):
        _check_view(index._forest, index.vectors[1:])
