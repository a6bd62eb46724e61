"""The search space: principal components of a collection, the same in every batch and every process."""

from __future__ import annotations

from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.shelf import unit_vectors

from lookalike.errors import Incompatible
from lookalike.search_space import (
    MOST_DIMENSIONS,
    SAME_SCORE,
    EncoderScore,
    SearchSpace,
    SpaceInfo,
    fit_space,
    has_space,
    in_search_space,
)
from lookalike.types import Metric, Vectors

INFO = SpaceInfo("space.npy", 40, 500, 0.9, 0.5, 12)


def drawn(count: int, dimension: int = 40, *, seed: int = 0, units: bool = True) -> Vectors:
    """Vectors with a common mean, and variances that fall from number to number."""
    chance = np.random.default_rng(seed)
    scales = 0.9 ** np.arange(dimension)
    vectors = (chance.standard_normal((count, dimension)) * scales + 0.7).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if units else vectors


def space_of(vectors: Vectors, metric: Metric = "cosine", wanted: int | None = 12) -> SearchSpace:
    space = fit_space([vectors[:200], vectors[200:]], metric, wanted)
    assert space is not None
    return space


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_components_are_those_of_the_covariance(metric: Metric) -> None:
    vectors = drawn(500, units=metric == "cosine")
    space = space_of(vectors, metric)
    np.testing.assert_allclose(space.components @ space.components.T, np.eye(12), atol=1e-6)
    np.testing.assert_allclose(space.mean, vectors.mean(axis=0), atol=1e-6)
    variances = np.linalg.eigvalsh(np.cov(vectors.T.astype(float), bias=True))[::-1]
    along = ((vectors - space.mean) @ space.components.T).var(axis=0)
    np.testing.assert_allclose(along, variances[:12], rtol=1e-3)
    assert space.kept_variance == pytest.approx(variances[:12].sum() / variances.sum(), abs=1e-4)


def test_distances_are_those_of_centred_vectors() -> None:
    vectors = drawn(500)
    vectors[:, -1] = 0  # so that 39 components have all
    projected = space_of(vectors, wanted=40).project(vectors)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = vectors - vectors.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(projected @ projected.T, centred @ centred.T, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(projected, axis=1), 1, atol=1e-6)


def test_scores_compare_with_those_of_the_encoder() -> None:
    """What a projection drops is known of the query: strangers keep the low scores that the encoder gives."""
    vectors, own, strangers = drawn(800, 60), drawn(40, 60, seed=1), unit_vectors(40, 60, seed=2)
    for metric in ("cosine", "l2"):
        space = fit_space([vectors], metric, 20)  # type: ignore[arg-type]
        assert space is not None
        gallery = space.project(vectors)
        for queries in (own, strangers):
            described = space.describe(queries)
            for query, projected, numbers in zip(queries, described.vectors, described.scores, strict=True):
                if metric == "cosine":
                    true, seen = (vectors @ query).max(), (gallery @ projected).max()
                else:
                    true, seen = (
                        (1 / (1 + np.linalg.norm(rows - one, axis=1))).max()
                        for rows, one in ((vectors, query), (gallery, projected))
                    )
                assert EncoderScore(*numbers.tolist()).of(float(seen)) == pytest.approx(float(true), abs=0.12)
        usual = np.median(space.describe(vectors).scores, axis=0)
        np.testing.assert_allclose(usual, astuple(space.usual_score), atol=0.1)
    assert SAME_SCORE.of(0.3) == 0.3


def test_l2_keeps_lengths() -> None:
    vectors = drawn(500, units=False)
    vectors[:, -1] = 0
    projected = space_of(vectors, "l2", wanted=40).project(vectors)
    between = np.linalg.norm(projected[:50, None] - projected[50:100], axis=2)
    np.testing.assert_allclose(
        between, np.linalg.norm(vectors[:50, None] - vectors[50:100], axis=2), rtol=1e-4
    )


def test_a_vector_becomes_the_same_numbers_in_every_batch() -> None:
    vectors = drawn(5_000, 96)
    space = space_of(vectors, wanted=64)
    together = space.project(vectors)
    for row in (0, 1, 2_047, 2_048, 4_999):
        np.testing.assert_array_equal(space.project(vectors[row : row + 1])[0], together[row])
    np.testing.assert_array_equal(space.project(vectors[:7]), together[:7])


def test_the_length_of_a_query_does_not_matter_and_zero_stays_zero() -> None:
    vectors = drawn(500)
    space = space_of(vectors)
    np.testing.assert_allclose(space.project(vectors[:5] * 40), space.project(vectors[:5]), atol=1e-6)
    assert not space.project(np.zeros((1, 40), np.float32)).any()


def test_the_same_vectors_give_the_same_space() -> None:
    vectors = drawn(500)
    first, second = space_of(vectors), space_of(vectors.copy())
    np.testing.assert_array_equal(first.components, second.components)
    np.testing.assert_array_equal(first.mean, second.mean)
    # Signs do not depend on which way an eigenvector happens to point.
    largest = first.components[np.arange(12), np.abs(first.components).argmax(axis=1)]
    assert (largest > 0).all()


@pytest.mark.parametrize(("spread", "expected"), [(0.9, 64), (0.98, 128), (1.0, MOST_DIMENSIONS)])
def test_the_dimension_is_what_keeps_the_variance(spread: float, expected: int) -> None:
    chance = np.random.default_rng(1)
    vectors = (chance.standard_normal((2_000, 400)) * spread ** np.arange(400)).astype(np.float32)
    space = fit_space([vectors], "l2")
    assert space is not None
    assert space.dimension == expected


def test_no_more_components_than_the_items_have() -> None:
    few = drawn(30, 100)
    space = fit_space([few], "cosine", 64)
    assert space is not None
    assert space.dimension == 29


def test_fewer_components_than_the_encoder_makes() -> None:
    # Versions before this one compare the two numbers, and must refuse the index.
    space = fit_space([unit_vectors(500, 70)], "cosine")
    assert space is not None
    assert space.dimension == 69


def test_equal_vectors_have_no_space() -> None:
    assert fit_space([np.repeat(drawn(1), 300, axis=0)], "cosine") is None
    assert fit_space([], "cosine") is None


@pytest.mark.parametrize(
    ("metric", "dimension", "count", "wanted", "expected"),
    [
        ("cosine", 1280, 200, 256, True),
        ("l2", 1280, 200, 256, True),
        ("cosine", 1280, 199, 256, False),
        ("cosine", 1280, 20_000, None, True),
        ("l2", 1280, 20_000, None, True),
        ("cosine", 1280, 19_999, None, False),
        ("cosine", 1280, 0, None, False),
        ("l1", 1280, 5_000, None, False),
        ("cosine", 1280, 5_000, 0, False),
        ("cosine", 64, 50_000, None, False),
        ("cosine", 65, 50_000, None, True),
        ("cosine", 16, 5_000, 8, True),
        ("cosine", 128, 5_000, 128, False),
    ],
)
def test_which_collections_have_one(
    metric: Metric, dimension: int, count: int, wanted: int | None, expected: bool
) -> None:
    assert has_space(metric, dimension, count, wanted) is expected


@pytest.mark.parametrize(
    ("count", "dimension", "wanted", "expected"),
    [
        (500, 40, 12, True),
        (999, 40, 12, True),
        (1_000, 40, 12, False),
        (251, 40, 12, True),
        (250, 40, 12, False),
        (500, 41, 12, False),
        (500, 40, None, False),
    ],
)
def test_a_space_is_kept_until_the_collection_doubles_or_halves(
    count: int, dimension: int, wanted: int | None, expected: bool
) -> None:
    assert INFO.fits(count, dimension, wanted) is expected


def test_a_file_holds_the_space(tmp_path: Path) -> None:
    space = space_of(drawn(500))
    space.write(tmp_path / "space.npy")
    info = replace(INFO, kept_variance=space.kept_variance, spread=space.spread)
    data = (tmp_path / "space.npy").read_bytes()
    found = SearchSpace.read(data, "cosine", info, 12)
    np.testing.assert_array_equal(found.project(drawn(9, seed=2)), space.project(drawn(9, seed=2)))
    assert found.kept_variance == space.kept_variance
    with pytest.raises(Incompatible, match="another projection"):
        SearchSpace.read(data, "cosine", info, 11)
    with pytest.raises(Incompatible, match="cannot be read"):
        SearchSpace.read(data[:50], "cosine", info, 12)


def test_queries_are_compared_as_a_collection_of_the_gallery_would() -> None:
    gallery, queries = drawn(400, 100), drawn(20, 100, seed=5)
    space = fit_space([gallery], "cosine", 64)
    assert space is not None
    asking, answering = in_search_space(queries, gallery, 64)
    np.testing.assert_array_equal(asking, space.project(queries))
    np.testing.assert_array_equal(answering, space.project(gallery))
    few = in_search_space(queries, gallery[:199], 64)
    assert few[0] is queries
    assert len(few[1]) == 199
