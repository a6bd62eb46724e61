"""The blend: its cosine is the weighted sum, and its choice follows its rule."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lookalike.training.fit.blend import COST, COST_SHARE, Frozen, Side, Trade, blended, choose, trades, unit

RNG = np.random.default_rng(0)


@given(st.floats(0, 1))
def test_its_cosine_is_the_weighted_sum_of_both(share: float) -> None:
    trained, frozen = (
        unit(np.random.default_rng(n).standard_normal((5, 7)).astype(np.float32)) for n in (1, 2)
    )
    both = blended(trained, frozen, share)
    expected = share * (trained @ trained.T) + (1 - share) * (frozen @ frozen.T)
    np.testing.assert_allclose(both @ both.T, expected, atol=1e-5)


def test_frozen_features_keep_their_standardised_cosines_when_no_component_is_left_out() -> None:
    features = (RNG.standard_normal((200, 12)) * RNG.uniform(0.1, 9, 12) + 3).astype(np.float32)
    standard = unit((features - features.mean(0)) / features.std(0))
    reduced = Frozen.fit(features)(features)
    np.testing.assert_allclose(reduced @ reduced.T, standard @ standard.T, atol=1e-3)


def test_a_feature_that_never_changes_does_no_harm() -> None:
    features = RNG.standard_normal((50, 6)).astype(np.float32)
    features[:, 2] = 4.0
    assert np.isfinite(Frozen.fit(features)(features)).all()


def test_few_images_leave_out_the_components_that_have_no_variance() -> None:
    """n images span n − 1 directions; the rest of the eigenvectors are chosen by rounding."""
    features = np.maximum(RNG.standard_normal((16, 40)), 0).astype(np.float32)
    features[:, 5] = 0  # never fires
    features[:, 6] = 0
    features[3, 6] = 3e-6  # fires once, hardly
    frozen = Frozen.fit(features)
    assert frozen.kernel.shape == (40, 15)
    assert np.abs(frozen.kernel).max() < 1e4
    assert np.abs(frozen.kernel[5]).max() < 1e-6
    standard = unit((features - features.mean(0)) / np.maximum(features.std(0), 1e-3))
    found = frozen(features)
    np.testing.assert_allclose(found @ found.T, standard @ standard.T, atol=1e-3)


def test_features_without_any_variance_still_have_one_component() -> None:
    features = np.full((4, 6), 2.0, np.float32)
    assert Frozen.fit(features)(features).shape == (4, 1)


def line(share: float, map_at_r: float, detail: float) -> Trade:
    return Trade(share, 0.5, map_at_r, detail)


def test_the_most_detail_that_costs_at_most_a_point() -> None:
    dear = line(0.5, 0.70 - COST - 1e-6, 0.9)
    cheap = line(0.8, 0.70 - COST + 1e-6, 0.6)
    assert choose([line(1.0, 0.70, 0.2), cheap, dear]) == 0.8
    assert choose([line(1.0, 0.70, 0.2), line(0.9, 0.71, 0.2)]) == 1.0  # nothing gained: the trained part


def test_a_point_is_much_where_nearly_everything_is_found() -> None:
    best = 0.98
    dear = line(0.8, best - COST_SHARE * (1 - best) - 1e-6, 0.9)
    cheap = line(0.95, best - COST_SHARE * (1 - best) + 1e-6, 0.6)
    assert choose([line(1.0, best, 0.2), cheap, dear]) == 0.95


def test_trades_see_detail_that_categories_do_not_make() -> None:
    """Trained vectors that hold the category alone find no single picture; frozen ones, that hold the picture
    alone, find it, and no category.
    """
    labels = np.repeat(np.arange(4), 10)
    trained = np.eye(4, dtype=np.float32)[labels]
    frozen = unit(RNG.standard_normal((40, 16)).astype(np.float32))
    held = np.arange(40) % 5 == 0
    queries = Side(trained[held], frozen[held], labels[held])
    found = trades(queries, queries, Side(trained[~held], frozen[~held], labels[~held]))
    by_share = {trade.share: trade for trade in found}
    assert by_share[1.0].recall_at_1 == 1.0
    assert by_share[0.0].recall_at_1 < 0.8
    assert by_share[0.0].detail == by_share[0.5].detail == 1.0
    assert by_share[1.0].detail == 0.5  # all of a category are tied: one of two held-out pictures comes first
