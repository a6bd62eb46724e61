"""How a query's nearest neighbors become the probability of each category, and of each match."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lookalike.confidence.none_of_these import none_of_these
from lookalike.errors import Incompatible
from lookalike.search_space import SAME_SCORE, EncoderScore
from lookalike.types import Likelihood

FORMAT = 2
UNKNOWN_SHARE = 0.01
"""Share of the neighborhood that is spread over all categories, so that no category has exactly none."""


@dataclass(frozen=True, slots=True)
class CategoryEstimate:
    """How probable it is that the query is of `category`; None: of none that the collection has."""

    category: str | None
    probability: float


@dataclass(frozen=True)
class ConfidenceModel:
    """Probability of a category, given the categories of the query's nearest neighbors.

    P = (1 − P(none)) · σ(intercept + score_weight · score + share_weight · log-odds of the category's share
    + lead_weight · log of its share relative to the best other one). The neighbors vote with weights
    exp((score − best score) / temperature). P(none) grows as the query's best score falls below those of the
    collection's own items. No weight is negative, so within one query and category a higher score never has
    a lower confidence.

    Attributes:
        intercept: of the logistic regression.
        score_weight: per unit of score.
        share_weight: per unit of log-odds.
        lead_weight: per unit of log ratio.
        temperature: of the votes, in units of score; positive.
        neighbors: how many nearest items vote.
        categories: how many the collection had, at least 2.
        surest: highest probability of a category, and 1 minus the lowest: a limited number of queries cannot
            prove more.
        usual_best: median best score of the collection's own items as queries, by the encoder's numbers.
        usual_spread: standard deviation below that median; positive.
        likely: least confidence of matches of which 95 % are right; None: no such confidence exists.
        maybe: least confidence of the matches below `likely` of which half are right; None: likewise.
        pairs: number of (query, match) pairs that the thresholds and the error were measured on.
        expected_calibration_error: mean distance of confidence from truth, on the twenty nearest of queries
            outside the fit, in 15 bins (Guo et al. 2017, §2), in [0, 1].
    """

    intercept: float
    score_weight: float
    share_weight: float
    lead_weight: float
    temperature: float
    neighbors: int
    categories: int
    surest: float
    usual_best: float
    usual_spread: float
    likely: float | None
    maybe: float | None
    pairs: int
    expected_calibration_error: float

    def judge(
        self,
        scores: Sequence[float],
        categories: Sequence[str | None],
        encoder_score: EncoderScore = SAME_SCORE,
    ) -> Judgement:
        """What the nearest neighbors of one query say about it.

        Args:
            scores: of the nearest neighbors, best first; without the query itself.
            categories: of the same neighbors; None has no vote.
            encoder_score: of the query, if the collection has a search space.
        """
        best = encoder_score.of(scores[0]) if scores else None
        shares: dict[str, float] = {}
        tops: dict[str, float] = {}
        total = 0.0
        for score, category in zip(scores[: self.neighbors], categories, strict=False):
            if category is None:
                continue
            vote = math.exp((score - scores[0]) / self.temperature)
            total += vote
            shares[category] = shares.get(category, 0.0) + vote
            tops.setdefault(category, score)
        if total > 0:
            shares = {category: share / total for category, share in shares.items()}
        return Judgement(self, shares, tops, none_of_these(best, self.usual_best, self.usual_spread))

    def probability(self, score: float, share: float, other: float) -> float:
        """Probability of a category of the collection.

        Args:
            score: of the match.
            share: of the match's category among the neighbors, in [0, 1].
            other: the largest share of another category, in [0, 1].
        """
        log_odds, lead = features_of(share, other, self.categories)
        logit = (
            self.intercept
            + self.score_weight * score
            + self.share_weight * log_odds
            + self.lead_weight * lead
        )
        chance = 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
        return min(max(chance, 1 - self.surest), self.surest)

    def likelihood(self, confidence: float | None) -> Likelihood | None:
        """The word for a confidence."""
        if confidence is None:
            return None
        if self.likely is not None and confidence >= self.likely:
            return "likely"
        return "maybe" if self.maybe is not None and confidence >= self.maybe else "unlikely"

    def least(self, wanted: float | Likelihood) -> float:
        """The least confidence that a number or a word stands for; above 1 if no confidence reaches it."""
        if isinstance(wanted, int | float):
            return float(wanted)
        unreachable = math.inf
        by_word = {"likely": self.likely, "maybe": self.maybe, "unlikely": 0.0}
        least = by_word[wanted]
        if least is None and wanted == "maybe":
            least = self.likely
        return unreachable if least is None else least

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ConfidenceModel:
        """Inverse of `to_json`. Raises Incompatible for another format version."""
        if data.get("format") != FORMAT:
            raise Incompatible(
                "the confidence model has another format version",
                got=data.get("format"),
                expected=FORMAT,
                fix="Build a new snapshot.",
            )
        return cls(**{name: value for name, value in data.items() if name != "format"})


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the neighborhood of one query says about it.

    Attributes:
        model: that made it.
        shares: category → its share of the votes; categories without a vote are missing.
        tops: category → its best score in the neighborhood.
        none: probability that the query is of no category of the collection.
    """

    model: ConfidenceModel
    shares: Mapping[str, float]
    tops: Mapping[str, float]
    none: float

    def confidence(self, category: str | None, score: float) -> float | None:
        """Probability that the query is of a match's category; None: the match has no category."""
        if category is None:
            return None
        share = self.shares.get(category, 0.0)
        other = max((value for name, value in self.shares.items() if name != category), default=0.0)
        return (1 - self.none) * self.model.probability(score, share, other)

    def estimates(self) -> tuple[CategoryEstimate, ...]:
        """Categories of the neighborhood, and None for none of them, most probable first; sum at most 1."""
        found = {name: self.confidence(name, top) or 0.0 for name, top in self.tops.items()}
        # Each category was judged alone: where they claim more than there is, all give way.
        scale = min(1.0, (1 - self.none) / max(sum(found.values()), 1e-12))
        listed = [CategoryEstimate(name, value * scale) for name, value in found.items()]
        listed.append(CategoryEstimate(None, self.none))
        return tuple(sorted(listed, key=lambda one: (-one.probability, one.category or "")))


def features_of(share: float, other: float, categories: int) -> tuple[float, float]:
    """Log-odds of a share, and the log of its ratio to the largest other one; both finite."""
    share, other = ((value + UNKNOWN_SHARE / categories) / (1 + UNKNOWN_SHARE) for value in (share, other))
    return math.log(share / (1 - share)), math.log(share / other)
