"""Connected components of pairs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class Union:
    """Union-find over rows 0 … n−1, with path halving (Tarjan, van Leeuwen 1984)."""

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))

    def find(self, row: int) -> int:
        """The representative of the group of `row`."""
        parents = self._parents
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    def join(self, left: Iterable[int], right: Iterable[int]) -> None:
        """Join the groups of each pair. The lowest row is the representative."""
        for one, other in zip(left, right, strict=True):
            a, b = self.find(one), self.find(other)
            if a != b:
                self._parents[max(a, b)] = min(a, b)

    def groups(self) -> list[NDArray[np.int64]]:
        """Groups of at least two rows, each ascending, ordered by their lowest row."""
        roots = np.fromiter(
            (self.find(row) for row in range(len(self._parents))), np.int64, len(self._parents)
        )
        order = np.argsort(roots, kind="stable").astype(np.int64)
        edges = np.flatnonzero(np.diff(roots[order])) + 1
        return [group for group in np.split(order, edges) if len(group) > 1]
