"""The training loop on a problem of a few numbers: it learns, it resumes to the same end, it stops early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from lookalike.training.fit.batch_sampling import epoch_batches
from lookalike.training.fit.head import Head
from lookalike.training.fit.loop import Epoch, Phase, fit
from lookalike.training.options import LOSSES, Loss

CLASSES = 5
RNG = np.random.default_rng(0)
CENTRES = RNG.standard_normal((CLASSES, 12)) * 2.0
LABELS = np.repeat(np.arange(CLASSES), 40)
FEATURES = (CENTRES[LABELS] + RNG.standard_normal((len(LABELS), 12))).astype(np.float32)


def phase(loss: Loss = "cosface", epochs: int = 4, judge: Callable[[], float] | None = None) -> Phase:
    head = Head(FEATURES.mean(0), FEATURES.std(0), 8, CLASSES, seed=1)

    def metrics() -> Mapping[str, float]:
        if judge:
            return {"map_at_r": judge()}
        vectors = head.embed(FEATURES)
        centres = np.stack([vectors[label == LABELS].mean(0) for label in range(CLASSES)])
        return {"map_at_r": float(np.mean((vectors @ centres.T).argmax(1) == LABELS))}

    return Phase(
        name="test",
        variables=head.trained(),
        undecayed=head.undecayed,
        embed=head,
        classes=head.classes,
        inputs=lambda rows, _rng: FEATURES[rows],
        labels=LABELS,
        metrics=metrics,
        loss=loss,
        epochs=epochs,
        batch=32,
        learning_rate=5e-3,
        seed=7,
    )


def final(made: Phase) -> NDArray[np.float32]:
    return np.concatenate([variable.numpy().ravel() for variable in made.variables.values()])


def ignore(_epoch: Epoch) -> None:
    """Nobody listens."""


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns(loss: Loss, tmp_path: Path) -> None:
    made = phase(loss, epochs=12)
    before = made.metrics()["map_at_r"]
    history = fit(made, tmp_path / "check.npz", ignore)
    assert history[-1]["loss"] < history[0]["loss"]
    assert made.metrics()["map_at_r"] > max(0.9, before)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], NDArray[np.float32]]:
    """The history and the final numbers of a training that nothing stops."""
    whole = phase()
    return fit(whole, tmp_path_factory.mktemp("fit") / "whole.npz", ignore), final(whole)


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_going_on_from_a_checkpoint_ends_in_the_same_numbers(
    undisturbed: tuple[list[dict[str, Any]], NDArray[np.float32]], stop_after: int, tmp_path: Path
) -> None:
    expected, numbers = undisturbed

    class Killed(Exception):
        pass

    def kill(epoch: Epoch) -> None:
        if epoch.metrics and epoch.number == stop_after:
            raise Killed

    path = tmp_path / "killed.npz"
    with pytest.raises(Killed):
        fit(phase(), path, kill)
    told: list[int] = []
    again = phase()
    history = fit(again, path, lambda epoch: told.append(epoch.number))
    assert history == expected
    assert min(told) == stop_after + 1  # nothing is done twice
    np.testing.assert_array_equal(final(again), numbers)


def test_a_checkpoint_of_other_options_is_not_gone_on_from(
    undisturbed: tuple[list[dict[str, Any]], NDArray[np.float32]], tmp_path: Path
) -> None:
    path = tmp_path / "check.npz"
    fit(phase("softmax"), path, ignore)
    history = fit(phase("cosface"), path, ignore)
    assert (phase().loss, history) == ("cosface", undisturbed[0])


def test_the_best_epoch_is_kept_and_no_better_one_is_waited_for_long(tmp_path: Path) -> None:
    scores = iter([0.2, 0.9, *[0.5] * 100])
    made = phase(epochs=30, judge=lambda: next(scores))
    seen: list[NDArray[np.float32]] = []
    history = fit(made, tmp_path / "check.npz", lambda e: seen.append(final(made)) if e.metrics else None)
    assert len(history) == 2 + 12  # 0.4 × 30 epochs without a better one
    np.testing.assert_array_equal(final(made), seen[1])


def test_rare_classes_come_up_more_often_than_their_share() -> None:
    labels = np.repeat([0, 1], [900, 100])
    drawn = np.concatenate(
        [
            np.concatenate(list(epoch_batches(labels, 50, np.random.default_rng(seed), pairwise=False)))
            for seed in range(20)
        ]
    )
    assert 980 <= len(drawn) / 20 <= 1_020
    share = np.mean(labels[drawn] == 1)
    assert 0.23 < share < 0.27  # 3 × 100 of 900 + 3 × 100: √9 times as often


def test_batches_for_pairs_hold_several_pictures_of_every_class_in_them() -> None:
    labels = np.repeat(np.arange(50), np.arange(2, 52))
    for rows in epoch_batches(labels, 64, np.random.default_rng(0), pairwise=True):
        counts = np.bincount(labels[rows])
        assert (counts[counts > 0] >= 2).all()
        assert len(rows) == 64


def test_dropout_is_off_when_serving() -> None:
    head = Head(FEATURES.mean(0), FEATURES.std(0), 8, CLASSES, seed=1)
    raw = head(tf.constant(FEATURES)).numpy()
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(head.embed(FEATURES), expected, atol=1e-5)
