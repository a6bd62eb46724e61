"""Find the duplicates of a collection: candidates, then a comparison of the images, then groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from itertools import combinations

from lookalike.duplicates.candidates import (
    LINKS,
    MIN_SCORE,
    Candidates,
    Link,
    describe,
    find_candidates,
)
from lookalike.duplicates.decisions import Pair
from lookalike.duplicates.groups import RowPair, linked_groups, ordered, star_groups
from lookalike.duplicates.original import Traces, by_size_and_age, choose
from lookalike.duplicates.pairs import PairComparison, Samples, traces_of
from lookalike.duplicates.verdict import Relation, Verdict
from lookalike.duplicates.verdict_cache import VerdictCache
from lookalike.images.copies import MAX_DISTANCE
from lookalike.progress import Progress
from lookalike.search.view import View

RELATIONS: tuple[Relation, ...] = ("same", "variant", "similar")


@dataclass(frozen=True, slots=True)
class DuplicateMember:
    """One image of a group.

    Attributes:
        id: of the item.
        product_id: of the item.
        width: in pixels.
        height: in pixels.
        score: cosine similarity to the member to keep.
        hash_distance: differing bits of the perceptual hashes, of 256; None if one of the images is
            featureless and has no hash.
        reasons: what linked it to another member.
        evidence: what a comparison with the member to keep found, in words; empty for that member, and for
            one that was compared with others only.
    """

    id: str
    product_id: str | None
    width: int
    height: int
    score: float
    hash_distance: int | None
    reasons: tuple[Link, ...]
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Two or more images.

    Attributes:
        members: the one to keep comes first.
        relation: `same`: the same picture, of which one is enough; `variant`: the same thing in another
            colour or another state, or mirrored; `similar`: neither is certain.
        kept_because: why the first is the one to keep, in words; empty unless `same`.
    """

    members: tuple[DuplicateMember, ...]
    relation: Relation = "similar"
    kept_because: tuple[str, ...] = ()

    @property
    def keep(self) -> str:
        """Id of the member to keep."""
        return self.members[0].id


@dataclass(frozen=True, slots=True)
class Comparison:
    """All pairs that were compared in one state of a collection.

    Attributes:
        view: the state.
        candidates: by rows, the smaller first.
        verdicts: of each candidate that is worth showing.
        traces: of editing, by row, of images that are the same picture as another one.
    """

    view: View
    candidates: Candidates
    verdicts: Mapping[RowPair, Verdict]
    traces: Mapping[int, Traces] = field(default_factory=dict)

    def groups(
        self, decided: Set[Pair] = frozenset(), relations: Iterable[Relation] = RELATIONS
    ) -> list[DuplicateGroup]:
        """Groups without decided pairs: those of the first relation first, and the largest of each first."""
        return _Grouping(self, decided).groups(relations)


def compare_items(
    view: View,
    samples: Samples | None = None,
    *,
    min_score: float | None = MIN_SCORE,
    max_hash_distance: int | None = MAX_DISTANCE,
    cache: VerdictCache | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Find pairs that may be duplicates, and compare their images.

    Costs one search per item and one comparison of two images (tens of ms) per candidate; never all pairs. A
    pair whose images cannot be read is `similar` at most.

    Args:
        view: one state of a collection (`Searcher.state().view`).
        samples: the images; None: they are not compared.
        min_score: minimum cosine similarity of similar images; None ignores vectors.
        max_hash_distance: maximum number of differing hash bits, 0 to 31; None ignores hashes.
        cache: verdicts of earlier comparisons; new ones are added.
        progress: called with what is done.

    Raises:
        InvalidInput: a limit is out of range, or both are None.
    """
    comparing = begin_comparison(
        view,
        samples,
        min_score=min_score,
        max_hash_distance=max_hash_distance,
        cache=cache,
        progress=progress,
    )
    comparing.advance(progress=progress)
    return comparison_of(view, comparing)


def begin_comparison(
    view: View,
    samples: Samples | None = None,
    *,
    min_score: float | None = MIN_SCORE,
    max_hash_distance: int | None = MAX_DISTANCE,
    cache: VerdictCache | None = None,
    progress: Progress | None = None,
) -> PairComparison:
    """The first part of `compare_items`: find the pairs, and compare none. Arguments and errors as there."""
    found = 0

    def advance(count: int) -> None:
        nonlocal found
        found += count
        if progress:
            progress("finding candidates", found, view.count)

    candidates = find_candidates(
        view, min_score=min_score, max_hash_distance=max_hash_distance, progress=advance
    )
    return PairComparison(view, samples, candidates, cache)


def comparison_of(view: View, comparing: PairComparison) -> Comparison:
    """The result so far of a comparison that `begin_comparison` began."""
    verdicts = dict(comparing.verdicts)
    return Comparison(view, dict(comparing.candidates), verdicts, traces_of(verdicts))


def find_duplicates(
    view: View,
    samples: Samples | None = None,
    *,
    decided: Set[Pair] = frozenset(),
    min_score: float | None = MIN_SCORE,
    max_hash_distance: int | None = MAX_DISTANCE,
    progress: Progress | None = None,
) -> list[DuplicateGroup]:
    """`compare_items`, grouped: images that are the same first, then variants, then similar ones."""
    compared = compare_items(
        view, samples, min_score=min_score, max_hash_distance=max_hash_distance, progress=progress
    )
    return compared.groups(decided)


class _Grouping:
    """Makes the groups of a comparison."""

    def __init__(self, compared: Comparison, decided: Set[Pair]) -> None:
        self._compared = compared
        self._view = compared.view
        rows = sorted({row for pair in compared.verdicts for row in pair})
        self._items = {row: compared.view.item_at(row) for row in rows}
        by_id = {item.id: row for row, item in self._items.items()}
        self._decided = {
            ordered(by_id[one], by_id[other]) for one, other in decided if one in by_id and other in by_id
        }
        self._links: dict[int, set[Link]] = {}
        for pair in compared.verdicts:
            for row in pair:
                self._links.setdefault(row, set()).update(compared.candidates[pair].links)

    def groups(self, relations: Iterable[Relation]) -> list[DuplicateGroup]:
        """Groups of these relations, in the order of `RELATIONS`."""
        same = star_groups(self._pairs("same"), self._decided, self._ranked)
        found: dict[Relation, list[list[int]]] = {"same": same}
        # In a weaker relation, the image to keep stands for those that are the same.
        stands = {row: rows[0] for rows in same for row in rows}
        taken: set[RowPair] = set()
        for relation in RELATIONS[1:]:
            pairs = {
                ordered(*ends)
                for pair in self._pairs(relation) - self._decided
                if (ends := tuple(stands.get(row, row) for row in pair))[0] != ends[1]
            }
            found[relation] = linked_groups(pairs - taken, self._decided, self._by_size)
            taken |= {ordered(one, other) for rows in found[relation] for one, other in combinations(rows, 2)}
        wanted = set(relations)
        self._describe(rows for relation in wanted for rows in found[relation])
        return [
            group
            for relation in RELATIONS
            if relation in wanted
            for group in sorted(
                (self._group(rows, relation) for rows in found[relation]),
                key=lambda group: (-len(group.members), group.keep),
            )
        ]

    def _describe(self, groups: Iterable[list[int]]) -> None:
        """Look up the members that were not compared with the one to keep, all at once."""
        pairs = {ordered(rows[0], row) for rows in groups for row in rows}
        self._described = describe(self._view, pairs - self._compared.candidates.keys())

    def _pairs(self, relation: Relation) -> set[RowPair]:
        return {pair for pair, verdict in self._compared.verdicts.items() if verdict.relation == relation}

    def _ranked(self, rows: list[int]) -> list[int]:
        return choose({row: self._items[row] for row in rows}, self._compared.traces)[0]

    def _by_size(self, rows: list[int]) -> list[int]:
        return by_size_and_age({row: self._items[row] for row in rows})

    def _group(self, rows: list[int], relation: Relation) -> DuplicateGroup:
        kept = rows[0]
        because: tuple[str, ...] = ()
        if relation == "same":
            because = choose({row: self._items[row] for row in rows}, self._compared.traces)[1]
        return DuplicateGroup(tuple(self._member(kept, row) for row in rows), relation, because)

    def _member(self, kept: int, row: int) -> DuplicateMember:
        item = self._items[row]
        pair = ordered(kept, row)
        known = self._compared.candidates.get(pair) or self._described[pair]
        verdict = self._compared.verdicts.get(pair)
        return DuplicateMember(
            id=item.id,
            product_id=item.product_id,
            width=item.width,
            height=item.height,
            score=known.score,
            hash_distance=known.bits,
            reasons=tuple(link for link in LINKS if link in self._links.get(row, ())),
            evidence=verdict.reasons if verdict else (),
        )
