"""Match the products of two sellers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidInput
from lookalike.matching.alterations import altered
from lookalike.matching.features import Evidence, gather
from lookalike.matching.known_pairs import KnownPairs
from lookalike.matching.listing import Listing
from lookalike.matching.model import Flags, Lesson, MatchModel, learn
from lookalike.matching.reasons import reasons

ENOUGH_KNOWN = 50
"""With fewer known pairs, altered copies of both listings are learned from as well."""
ENOUGH_COPIES = 200
"""A listing with fewer products is altered several times."""
SURE = 0.95
"""Pairs below this confidence are worth a person's look."""
OBVIOUS = 4.0
"""Log-odds, 98 %, from which a pair is learned from without having been decided."""
CERTAIN = 20.0
"""Log-odds of a pair that people have decided."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MatchOptions:
    """How to match.

    Attributes:
        many: a product may have several partners; else at most one.
        least: pairs of a lower confidence are not returned.
        seed: of the altered copies and of the folds.
    """

    many: bool = False
    least: float = 0.5
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two products that are taken for one.

    Attributes:
        left_id, right_id: of the products.
        confidence: probability that they are one product; 1 where people said so.
        review: whether a person should look: the confidence is below 0.95.
        known: whether people said so.
        agree, contradict: what speaks for it and against it.
        left_title, right_title: for people.
    """

    left_id: str
    right_id: str
    confidence: float
    review: bool
    known: bool
    agree: tuple[str, ...]
    contradict: tuple[str, ...]
    left_title: str
    right_title: str


@dataclass(frozen=True, slots=True)
class MatchReport:
    """The result.

    Attributes:
        pairs: by falling confidence.
        unmatched_left, unmatched_right: ids without a partner.
        learned_from: "known pairs", "altered copies" or both.
        candidates: how many pairs were compared.
    """

    pairs: tuple[Pair, ...]
    unmatched_left: tuple[str, ...]
    unmatched_right: tuple[str, ...]
    learned_from: str
    candidates: int


def match(
    left: Listing,
    right: Listing,
    known: KnownPairs | None = None,
    options: MatchOptions | None = None,
    progress: Progress | None = None,
) -> MatchReport:
    """Find out which products of two listings are the same.

    Args:
        left, right: the listings.
        known: pairs that people have decided. All other pairs of a product that has a partner there are taken
            for different products.
        options: see `MatchOptions`.
        progress: called before each step.

    Raises:
        InvalidInput: a listing is empty, or no two products have anything in common.
    """
    chosen = options or MatchOptions()
    say = progress or (lambda _: None)
    for side in (left, right):
        if not len(side):
            raise InvalidInput("a table has no products", got=side.name)
    say("comparing titles, codes, prices and images")
    evidence = gather(left, right)
    if not _anything_shared(evidence):
        raise InvalidInput(
            "the two tables have nothing in common",
            got=f"{len(left)} and {len(right)} products without a shared word",
            fix="Check that the title columns were recognised: --column title=NAME.",
        )
    decided = _decided(evidence, known, many=chosen.many)
    lessons, learned_from = _lessons(left, right, evidence, decided, chosen, say)
    say(f"learning from {learned_from}")
    model = learn(lessons, many=chosen.many, seed=chosen.seed)
    if known is None:
        obvious = _obvious(evidence, model)
        if obvious.same.any():
            more = _with_half_left_out(evidence, obvious, chosen.seed)
            model = learn([*lessons, *more], many=chosen.many, seed=chosen.seed)
    return _report(left, right, evidence, decided, model, chosen, learned_from)


def _anything_shared(evidence: Evidence) -> bool:
    shared = (evidence["trigrams"] > 0) | (evidence["texts"] > 0) | (evidence["image unknown"] == 0)
    return bool(shared.any())


@dataclass(frozen=True)
class _Decided:
    """Which candidate pairs people have decided: (p,) each."""

    known: Flags
    same: Flags


def _decided(evidence: Evidence, known: KnownPairs | None, *, many: bool) -> _Decided:
    pairs = list(map(tuple, evidence.pairs.tolist()))
    if known is None:
        nothing = np.zeros(len(pairs), bool)
        return _Decided(nothing, nothing)
    same = np.array([pair in known.same for pair in pairs], bool)
    explicit = same | np.array([pair in known.different for pair in pairs], bool)
    if many:
        # All partners of a product that has any are taken to be listed.
        taken = np.isin(evidence.pairs[:, 0], [pair[0] for pair in known.same])
    else:
        sides = ([pair[side] for pair in known.same] for side in (0, 1))
        taken = np.logical_or(*(np.isin(evidence.pairs[:, n], rows) for n, rows in enumerate(sides)))
    return _Decided(explicit | taken, same)


def _lessons(
    left: Listing, right: Listing, evidence: Evidence, decided: _Decided, options: MatchOptions, say: Progress
) -> tuple[Sequence[Lesson], str]:
    """What to learn from, and its name."""
    lessons, sources = [], []
    both = decided.same.any() and (decided.known & ~decided.same).any()
    if both:
        lessons += _with_half_left_out(evidence, decided, options.seed)
        sources.append("known pairs")
    if not both or decided.same.sum() < ENOUGH_KNOWN:
        say("altering both tables, to learn from the copies")
        copies = [side for side in (left, right) for _ in range(-(-ENOUGH_COPIES // len(side)))]
        for number, side in enumerate(copies):
            copy, rows = altered(side, options.seed + number)
            found = gather(side, copy)
            same: NDArray[np.bool_] = found.pairs[:, 0] == rows[found.pairs[:, 1]]
            if same.any() and not same.all():
                lessons.append(Lesson(found, np.ones(len(same), bool), same))
        sources.append("altered copies")
    if not lessons:
        raise InvalidInput(
            "the tables are too small to learn from",
            got=f"{len(left)} and {len(right)} products",
            expected="at least a few on each side, or known pairs",
        )
    return lessons, " and ".join(sources)


def _obvious(evidence: Evidence, model: MatchModel) -> _Decided:
    """Pairs that are so probable that they are learned from as if people had decided them (self-training).

    Altered copies show what one product looks like twice, but not how similar different products are.
    """
    log_odds = model.log_odds(evidence)
    same = model.keep(evidence.pairs, log_odds) & (log_odds >= OBVIOUS)
    taken = (np.isin(evidence.pairs[:, side], evidence.pairs[same, side]) for side in (0, 1))
    return _Decided(np.logical_or(*taken), same)


def _with_half_left_out(evidence: Evidence, decided: _Decided, seed: int) -> list[Lesson]:
    """Two lessons, each without the right products of half of the matches.

    Known pairs are matches. What products without a partner look like is learned by taking the partner away.
    """
    partners = evidence.pairs[decided.same, 1]
    half = np.random.default_rng(seed).permutation(partners)[: len(partners) // 2]
    lessons = []
    for absent in (half, np.setdiff1d(partners, half)):
        kept = ~np.isin(evidence.pairs[:, 1], absent)
        if (decided.same & kept).any():
            lessons.append(Lesson(evidence.only(kept), decided.known[kept], decided.same[kept]))
    return lessons


def _report(
    left: Listing,
    right: Listing,
    evidence: Evidence,
    decided: _Decided,
    model: MatchModel,
    options: MatchOptions,
    learned_from: str,
) -> MatchReport:
    log_odds = model.log_odds(evidence)
    log_odds = np.where(decided.known, np.where(decided.same, CERTAIN, -CERTAIN), log_odds)
    kept = model.keep(evidence.pairs, log_odds)
    confidence = model.confidence(evidence.pairs, log_odds, kept & ~decided.known)
    confidence = np.where(decided.same, 1.0, confidence)
    kept &= (confidence >= options.least) & (decided.same | ~decided.known)
    titles, images, without = evidence["words"], evidence["image"], evidence["image unknown"] > 0
    found = []
    for n in np.flatnonzero(kept)[np.argsort(-confidence[kept], kind="stable")].tolist():
        one, other = evidence.pairs[n].tolist()
        image = None if without[n] else float(images[n])
        agree, contradict = reasons(left, right, (one, other), float(titles[n]), image)
        sure = float(confidence[n])
        found.append(
            Pair(
                left_id=left.ids[one],
                right_id=right.ids[other],
                confidence=round(sure, 4),
                review=sure < SURE,
                known=bool(decided.same[n]),
                agree=agree,
                contradict=contradict,
                left_title=left.titles[one],
                right_title=right.titles[other],
            )
        )
    taken = tuple(set(evidence.pairs[kept, side].tolist()) for side in (0, 1))
    return MatchReport(
        pairs=tuple(found),
        unmatched_left=tuple(own for row, own in enumerate(left.ids) if row not in taken[0]),
        unmatched_right=tuple(own for row, own in enumerate(right.ids) if row not in taken[1]),
        learned_from=learned_from,
        candidates=len(evidence.pairs),
    )
