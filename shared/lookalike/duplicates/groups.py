"""Groups of compared items: a wrong pair must not merge two groups, and a decided pair never comes again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

import numpy as np

from lookalike.images.connected_components import Union

RowPair = tuple[int, int]


def star_groups(
    pairs: Set[RowPair], decided: Set[RowPair], ranked: Callable[[list[int]], list[int]]
) -> list[list[int]]:
    """Groups whose members are each paired with the first one.

    Of items that hang together, the best is kept, with all that are paired with it. Those that are left form
    groups of their own. No group has a decided pair.

    Args:
        pairs: rows, the smaller first.
        decided: pairs that must not be in one group.
        ranked: orders rows, the one to keep first.
    """
    return [
        group
        for rows in components(pairs - decided)
        for group in _stars(ranked(rows), pairs - decided, decided)
    ]


def linked_groups(
    pairs: Set[RowPair], decided: Set[RowPair], ranked: Callable[[list[int]], list[int]]
) -> list[list[int]]:
    """Groups of items that hang together, over others if need be; see `star_groups`.

    A group that would have a decided pair is formed like those of `star_groups`.
    """
    left = pairs - decided
    groups: list[list[int]] = []
    for rows in components(left):
        members = set(rows)
        if any(one in members and other in members for one, other in decided):
            groups += _stars(ranked(rows), left, decided)
        else:
            groups.append(ranked(rows))
    return groups


def components(pairs: Iterable[RowPair]) -> list[list[int]]:
    """Rows that hang together, each in ascending order."""
    listed = sorted(pairs)
    rows = np.unique(np.array(listed, np.int64).reshape(-1, 2))
    union = Union(len(rows))
    left, right = (np.searchsorted(rows, [pair[side] for pair in listed]) for side in (0, 1))
    union.join(left.tolist(), right.tolist())
    return [rows[group].tolist() for group in union.groups()]


def ordered(one: int, other: int) -> RowPair:
    """Two rows, the smaller first."""
    return (one, other) if one < other else (other, one)


def _stars(rows: list[int], pairs: Set[RowPair], decided: Set[RowPair]) -> list[list[int]]:
    groups = []
    while len(rows) > 1:
        kept, *rest = rows
        group = [kept]
        for row in rest:
            is_decided = any(ordered(row, member) in decided for member in group)
            if ordered(kept, row) in pairs and not is_decided:
                group.append(row)
        if len(group) > 1:
            groups.append(group)
        rows = [row for row in rest if row not in set(group)]
    return groups
