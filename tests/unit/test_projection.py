"""Positions on the map: neighbours stay neighbours, everything has one, and queries find theirs."""

from __future__ import annotations

import io

import numpy as np
import pytest

from lookalike.projection import project, project_among, read_positions, write_positions


def clusters(count: int, *, groups: int = 6, dimension: int = 24, seed: int = 0):
    numbers = np.random.default_rng(seed)
    centres = numbers.normal(size=(groups, dimension))
    labels = numbers.integers(0, groups, count)
    vectors = (centres[labels] + 0.4 * numbers.normal(size=(count, dimension))).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


@pytest.mark.parametrize("count", [60, 900])  # all are anchors; most lie among anchors
def test_items_of_a_kind_lie_together(count):
    vectors, labels = clusters(count)
    places = project(vectors)
    assert places.shape == (count, 2)
    assert places.dtype == np.float32
    assert places.min() == 0
    assert places.max() <= 1 + 1e-6
    distances = ((places[:, None] - places) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).mean() > 0.95


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
@pytest.mark.parametrize("dimension", [1, 2, 40])
def test_few_items_have_places_too(count, dimension):
    vectors = np.random.default_rng(count).normal(size=(count, dimension)).astype(np.float32)
    places = project(vectors)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()


def test_items_that_are_all_alike_have_places():
    assert np.isfinite(project(np.ones((50, 8), np.float32))).all()


def test_the_same_vectors_have_the_same_places():
    vectors, _ = clusters(400)
    assert np.array_equal(project(vectors), project(vectors))


def test_what_is_known_lies_where_it_is():
    vectors, _ = clusters(200)
    places = project(vectors)
    assert np.abs(project_among(vectors[:20], vectors, places) - places[:20]).max() < 0.02


def test_places_are_kept_as_a_file(tmp_path):
    places = project(clusters(20)[0])
    write_positions(places, tmp_path / "places.npy")
    assert np.array_equal(read_positions((tmp_path / "places.npy").read_bytes()), places)


def test_what_is_no_such_file_is_refused():
    foreign = io.BytesIO()
    np.save(foreign, np.array([{"a": 1}], object), allow_pickle=True)
    for data in (b"", b"nonsense", foreign.getvalue()):
        with pytest.raises((ValueError, EOFError)):
            read_positions(data)
