"""Which encoder is better: a gain that is no noise, and no loss that is none either."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lookalike.publishing import Comparison, compare_vectors
from lookalike.types import Vectors

CLASSES, DIMENSION = 8, 32


def sides(noise: float, queries: int, *, seed: int, unlearnt: int = 0) -> tuple[Vectors, Vectors]:
    """Queries and a gallery of eight classes around their centres; `unlearnt` classes share one centre."""
    rng = np.random.default_rng(seed)
    centres = np.eye(DIMENSION, dtype=np.float32)[:CLASSES]
    centres[CLASSES - unlearnt :] = centres[-1]

    def around(count: int) -> Vectors:
        labels = np.arange(count) % CLASSES
        found = centres[labels] + noise * rng.normal(size=(count, DIMENSION)).astype(np.float32)
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)

    return around(queries), around(160)


def judged(old: tuple[Vectors, Vectors], new: tuple[Vectors, Vectors]) -> Comparison:
    labels = [[str(row % CLASSES) for row in range(len(part))] for part in old]
    return compare_vectors("old-1", old, "new-1", new, *labels)


def test_a_gain_is_better() -> None:
    found = judged(sides(0.6, 160, seed=1), sides(0.2, 160, seed=1))
    assert found.changes["map_at_r"].verdict == "better"
    assert found.is_better


def test_a_loss_is_not() -> None:
    found = judged(sides(0.2, 160, seed=1), sides(0.6, 160, seed=1))
    assert found.changes["map_at_r"].verdict == "worse"
    assert not found.is_better
    assert "mAP@R does not rise" in found.sentence


def test_an_encoder_that_learnt_half_of_the_classes_is_not_better() -> None:
    """Those that it learnt are found better, so that mAP@R may rise; those that it did not fall apart."""
    found = judged(sides(0.15, 160, seed=1), sides(0.05, 160, seed=1, unlearnt=4))
    assert found.changes["recall_at_1"].verdict == "worse"
    assert not found.is_better
    assert "recall@1 is worse: " in found.sentence


def test_categories_that_the_training_did_not_know_must_not_get_worse() -> None:
    """Five of eight got so much better that no metric falls over all queries; the other three fell."""
    old, new = sides(0.4, 400, seed=1), sides(0.1, 400, seed=1, unlearnt=3)
    labels = [[str(row % CLASSES) for row in range(len(part))] for part in old]
    silent = compare_vectors("old-1", old, "new-1", new, *labels)
    assert silent.is_better
    assert silent.unseen == {}
    known = {str(number) for number in range(5)}
    found = compare_vectors("old-1", old, "new-1", new, *labels, known_classes=known)
    assert found.changes == silent.changes
    assert found.unseen_classes == 3
    assert found.unseen["recall_at_1"].verdict == "worse"
    assert not found.is_better
    assert "worse for 3 categories that were not in the training" in found.sentence
    assert Comparison.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("queries", [16, 160])
def test_the_same_encoder_with_other_noise_is_rarely_better(queries: int) -> None:
    """The rule's rate of false alarms: how often chance alone would publish an encoder."""
    wrong = sum(
        judged(sides(0.45, queries, seed=seed), sides(0.45, queries, seed=1_000 + seed)).is_better
        for seed in range(40)
    )
    assert wrong <= 2


def test_what_is_stored_is_what_was_judged() -> None:
    found = judged(sides(0.6, 16, seed=1), sides(0.2, 16, seed=1))
    assert Comparison.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_record_of_an_older_version_has_the_verdict_on_map_at_r_alone() -> None:
    data = judged(sides(0.6, 160, seed=1), sides(0.2, 160, seed=1)).to_json()
    del data["changes"]
    assert Comparison.from_json(data).is_better
    assert not Comparison.from_json({**data, "verdict": "noise"}).is_better
