"""From the evidence for a pair to the probability that it is one product.

1. A logistic regression on the evidence gives each pair log-odds.
2. The one-to-one assignment with the largest sum of log-odds is kept.
3. A pair that won against its rivals is more probable than its evidence alone says. So a second logistic
   regression, on the log-odds and on how far the pair leads its rivals, is fitted to the pairs that the
   assignment keeps (Platt 1999), of products that the first one was not fitted to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lookalike.matching.assignment import one_to_one
from lookalike.matching.candidates import Pairs
from lookalike.matching.features import Evidence, standing

FOLDS = 5
LEAST_LOG_ODDS = -3.0
"""Pairs below, 5 %, take part in no assignment."""
LEAST_RATE = 0.005
RATE_STEPS = 200
Column = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Lesson:
    """Pairs of which it is known whether they are one product.

    Attributes:
        evidence: all candidate pairs of two listings.
        known: (p,) those that are known.
        same: (p,) those that are one product.
    """

    evidence: Evidence
    known: Flags
    same: Flags


@dataclass(frozen=True)
class MatchModel:
    """The two regressions.

    Attributes:
        first, second: scikit-learn's pipelines.
        rate: share of matches among the pairs that the second one was fitted to.
        many: a product may have several partners.
    """

    first: Any
    second: Any
    rate: float
    many: bool

    def log_odds(self, evidence: Evidence) -> Column:
        """Log-odds of every pair, before the assignment; shape (p,)."""
        return np.asarray(self.first.decision_function(evidence.values), np.float64)

    def keep(self, pairs: Pairs, log_odds: Column) -> Flags:
        """The pairs that the assignment keeps."""
        return _keep(pairs, log_odds, many=self.many)

    def confidence(self, pairs: Pairs, log_odds: Column, open_: Flags) -> Column:
        """Probability that a pair is one product, if the assignment kept it; shape (p,).

        How many products have a partner at all differs between sellers. The share of matches among the pairs
        `open_`, (p,), is estimated from their probabilities, which are then corrected for it: by half in
        log-odds, because the estimate depends on probabilities that are not exact themselves.
        """
        chances = np.asarray(self.second.predict_proba(_ranked(pairs, log_odds))[:, 1], np.float64)
        estimated = true_rate(chances[open_], self.rate)
        halfway = float(expit((logit(self.rate) + logit(estimated)) / 2))
        return with_rate(chances, self.rate, halfway)


def learn(lessons: Sequence[Lesson], *, many: bool, seed: int = 0) -> MatchModel:
    """Fit a model. Each lesson must have pairs of both kinds among those that are known."""
    values = np.concatenate([lesson.evidence.values[lesson.known] for lesson in lessons])
    same = np.concatenate([lesson.same[lesson.known] for lesson in lessons])
    folds = [_folds(lesson, seed) for lesson in lessons]
    of_known = np.concatenate([fold[lesson.known] for fold, lesson in zip(folds, lessons, strict=True)])
    first = _regression().fit(values, same)
    apart = [_fit_without(values, same, of_known, fold) or first for fold in range(FOLDS)]
    rows, outcomes = [], []
    for lesson, fold in zip(lessons, folds, strict=True):
        log_odds = np.asarray(first.decision_function(lesson.evidence.values), np.float64)
        for number, model in enumerate(apart):
            held = lesson.known & (fold == number)
            if held.any():
                log_odds[held] = model.decision_function(lesson.evidence.values[held])
        kept = lesson.known & _keep(lesson.evidence.pairs, log_odds, many=many)
        rows.append(_ranked(lesson.evidence.pairs, log_odds)[kept])
        outcomes.append(lesson.same[kept])
    kept_outcomes = np.concatenate(outcomes)
    second = _calibration(np.concatenate(rows), kept_outcomes)
    rate = float(np.clip(kept_outcomes.mean(), LEAST_RATE, 1 - LEAST_RATE))
    return MatchModel(first, second, rate, many)


def with_rate(chances: Column, before: float, after: float) -> Column:
    """Probabilities for a population with another share of matches, by Bayes' rule."""
    same = chances * (after / before)
    return np.asarray(same / (same + (1 - chances) * ((1 - after) / (1 - before))), np.float64)


def true_rate(chances: Column, before: float) -> float:
    """The share of matches in a population, from probabilities that hold for a share of `before`.

    By expectation maximisation (Saerens, Latinne & Decaestecker 2002, "Adjusting the Outputs of a Classifier
    to New a Priori Probabilities").
    """
    rate = before
    for _ in range(RATE_STEPS if chances.size else 0):
        rate = float(np.clip(with_rate(chances, before, rate).mean(), LEAST_RATE, 1 - LEAST_RATE))
    return rate


def _regression() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2_000))


def _fit_without(values: NDArray[np.float64], same: Flags, folds: NDArray[np.int64], fold: int) -> Any:
    """A regression that saw nothing of a fold; None if the rest has pairs of one kind only."""
    rest = folds != fold
    return _regression().fit(values[rest], same[rest]) if len(np.unique(same[rest])) == 2 else None


def _folds(lesson: Lesson, seed: int) -> NDArray[np.int64]:
    """The fold of each pair: that of its left product."""
    left = lesson.evidence.pairs[:, 0]
    of_product = np.random.default_rng(seed).integers(FOLDS, size=int(left.max(initial=-1)) + 1)
    return np.asarray(of_product[left], np.int64)


def _keep(pairs: Pairs, log_odds: Column, *, many: bool) -> Flags:
    return log_odds >= LEAST_LOG_ODDS if many else one_to_one(pairs, log_odds, LEAST_LOG_ODDS)


def _ranked(pairs: Pairs, log_odds: Column) -> NDArray[np.float64]:
    return np.column_stack([log_odds, *standing(pairs, expit(log_odds)).values()])


def _calibration(rows: NDArray[np.float64], outcomes: Flags) -> Any:
    if len(np.unique(outcomes)) < 2:  # nothing but matches: one artificial miss keeps the probability below 1
        rows = np.vstack([rows, rows.min(axis=0)])
        outcomes = np.append(outcomes, not outcomes.any())
    return _regression().fit(rows, outcomes)
