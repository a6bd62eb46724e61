"""One state of a collection: a snapshot and the newer rows.

A view is immutable, so a search on one view never mixes two states. The snapshot's rows are numbered first,
then those of the delta.
"""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.filters import FieldKind, Filter, evaluate, field_kinds, resolve_field
from lookalike.indexes.distance import ROUNDING, exact_distances, refined
from lookalike.search.delta import DeltaRows
from lookalike.search_space import SearchSpace
from lookalike.snapshots import Snapshot, attribute_types, table_of
from lookalike.types import Item, Metric, Vector, Vectors

if TYPE_CHECKING:
    import pyarrow as pa

Rows = NDArray[np.int64]
Distances = NDArray[np.float32]
Mask = NDArray[np.bool_]
VectorSource = Callable[[Sequence[str]], tuple[list[str], Vectors]]

BLOCK_FLOATS = 1 << 17
"""Values per block of an exact search; small enough for a core's cache."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows with equal values of a field.

    Attributes:
        numbers: int64, shape (size of the view,): the group of each row. Rows without a value have unique
            negative numbers.
        count: number of groups, including single rows without a value.
    """

    numbers: NDArray[np.int64]
    count: int


class View:
    """A snapshot with a delta; see the module. Thread-safe.

    Args:
        metric: how vectors are compared.
        snapshot: None before the first one; then the delta has everything.
        delta: what changed since the snapshot.
        known: row numbers by id from an earlier view of the same snapshot.
        source: ids → those that have a vector, and the encoder's; needed if the snapshot has a space.
    """

    def __init__(
        self,
        metric: Metric,
        snapshot: Snapshot | None,
        delta: DeltaRows,
        known: dict[str, int | None] | None = None,
        source: VectorSource | None = None,
    ) -> None:
        self.metric = metric
        self.snapshot = snapshot
        self.delta = delta
        self._source = source
        self.base = snapshot.size if snapshot else 0
        self.size = self.base + len(delta.ids)
        self._delta_rows = {id_: self.base + row for row, id_ in enumerate(delta.ids)}
        self.known = self._locate(known or {})
        replaced = [self.known[id_] for id_ in (*delta.removed, *delta.ids)]
        self.alive: Mask = np.ones(self.size, bool)
        self.alive[[row for row in replaced if row is not None]] = False
        self._overrides = {
            row: item
            for id_, item in delta.items.items()
            if id_ not in self._delta_rows and (row := self.known[id_]) is not None and self.alive[row]
        }
        self._groups: dict[str, Groups] = {}

    def _locate(self, known: dict[str, int | None]) -> dict[str, int | None]:
        """Snapshot rows of all ids in the delta. Looks up only those that are not `known`."""
        touched = {*self.delta.removed, *self.delta.items, *self.delta.ids}
        if self.snapshot is None:
            return dict.fromkeys(touched)
        return {id_: known[id_] if id_ in known else self.snapshot.row_of(id_) for id_ in touched}

    @cached_property
    def count(self) -> int:
        """Number of searchable items."""
        return int(np.count_nonzero(self.alive))

    def advanced(self, delta: DeltaRows) -> View:
        """The same snapshot with another delta."""
        return View(self.metric, self.snapshot, delta, self.known, self._source)

    # Rows

    def row_of(self, item_id: str) -> int | None:
        """The row of `item_id`, or None."""
        if item_id in self._delta_rows:
            return self._delta_rows[item_id]
        row = self.snapshot.row_of(item_id) if self.snapshot else None
        return row if row is not None and self.alive[row] else None

    def id_at(self, row: int) -> str:
        """The id in `row`."""
        if row >= self.base:
            return self.delta.ids[row - self.base]
        assert self.snapshot is not None
        return self.snapshot.id_at(row)

    def item_at(self, row: int) -> Item:
        """The item in `row`, with its newest metadata."""
        if row >= self.base:
            return self.delta.items[self.delta.ids[row - self.base]]
        assert self.snapshot is not None
        return self._overrides.get(row) or self.snapshot.item_at(row)

    def category_at(self, row: int) -> str | None:
        """The category of the item in `row`; faster than `item_at`."""
        if row >= self.base:
            return self.delta.items[self.delta.ids[row - self.base]].category
        if row in self._overrides:
            return self._overrides[row].category
        assert self.snapshot is not None
        return self.snapshot.category_at(row)

    def vector_at(self, row: int) -> Vector:
        """The vector in `row`, as it is compared: shape (d,), float32."""
        if row >= self.base:
            return np.asarray(self.delta.vectors[row - self.base])
        assert self.snapshot is not None
        return np.asarray(self.snapshot.vectors[row])

    @property
    def space(self) -> SearchSpace | None:
        """In which vectors are compared; None: as the encoder makes them."""
        return self.snapshot.space if self.snapshot else None

    def encoder_vectors(self, rows: Rows) -> Vectors:
        """The encoder's own vectors of some rows, (n, its dimension) float32; zeros for items removed since.
        Read from the catalogue if the index has others, so ask for many at once."""
        if self.space is None:
            return np.array([self.vector_at(row) for row in rows.tolist()], np.float32)
        assert self._source is not None
        ids = [self.id_at(row) for row in rows.tolist()]
        found = dict(zip(*self._source(ids), strict=True))
        vectors = np.zeros((len(ids), self.space.encoder_dimension), np.float32)
        for place, item_id in enumerate(ids):
            if item_id in found:
                vectors[place] = found[item_id]
        return vectors

    def near_ids(self, item_id: str) -> list[str]:
        """Up to three existing ids that are similar to `item_id`."""
        at = bisect_left(self.delta.ids, item_id)
        around = list(self.delta.ids[max(0, at - 3) : at + 3])
        if self.snapshot is not None:
            at = self.snapshot.first_row_from(item_id)
            rows = range(max(0, at - 3), min(self.base, at + 3))
            around += [self.id_at(row) for row in rows if self.alive[row]]
        return difflib.get_close_matches(item_id, around, n=3, cutoff=0)

    # Columns

    @cached_property
    def _fresh(self) -> pa.Table:
        """Columns of items that are missing or outdated in the snapshot."""
        types = attribute_types(self.snapshot.items.schema) if self.snapshot else {}
        items = [*self._overrides.values(), *(self.delta.items[id_] for id_ in self.delta.ids)]
        return table_of(items, types)

    @cached_property
    def _fresh_rows(self) -> Rows:
        return np.array([*self._overrides, *range(self.base, self.size)], np.int64)

    @property
    def fresh_items(self) -> tuple[Rows, list[Item]]:
        """Items that are missing or outdated in the snapshot, with their rows."""
        return self._fresh_rows, [self.item_at(row) for row in self._fresh_rows.tolist()]

    @cached_property
    def fields(self) -> dict[str, FieldKind]:
        """Columns for filters. The snapshot's types take precedence over the delta's."""
        fields = field_kinds(self._fresh.schema)
        stored = field_kinds(self.snapshot.items.schema) if self.snapshot else {}
        return fields | {
            name: kind for name, kind in stored.items() if kind != "unknown" or name not in fields
        }

    def fulfilling(self, filter_: Filter) -> Mask:
        """Live rows that match a filter; bool, shape (size,).

        Raises:
            FilterError: an unknown field, or a value of the wrong type.
        """
        mask = self.alive.copy()
        if self.snapshot is not None:
            mask[: self.base] &= evaluate(filter_, self.snapshot.items, self.fields)
        mask[self._fresh_rows] = evaluate(filter_, self._fresh, self.fields)
        return mask

    def column(self, name: str) -> pa.ChunkedArray[Any]:
        """The values of a column, shape (size,). Replaced rows have outdated values."""
        order = np.arange(self.size)
        order[self._fresh_rows] = self.base + np.arange(self._fresh_rows.size)
        return self._joined(name).take(order)

    def groups(self, field: str) -> Groups:
        """Group rows by their value of `field`.

        Raises:
            FilterError: there is no such field.
        """
        name = resolve_field(field, self.fields)
        if name not in self._groups:
            numbers = self._numbered(name)
            self._groups[name] = Groups(numbers, np.unique(numbers[self.alive]).size)
        return self._groups[name]

    def of_category(self, category: str) -> Mask:
        """Rows of a category, live or replaced; bool, shape (size,)."""
        numbers = self.groups("category").numbers
        number = self._category_numbers.get(category)
        return np.zeros(self.size, bool) if number is None else numbers == number

    @cached_property
    def _category_numbers(self) -> dict[str, int]:
        """The group of every category."""
        found, rows = np.unique(self.groups("category").numbers, return_index=True)
        known = zip(found.tolist(), rows.tolist(), strict=True)
        named = ((self.category_at(row), number) for number, row in known if number >= 0)
        return {category: number for category, number in named if category is not None}

    def _joined(self, name: str) -> pa.ChunkedArray[Any]:
        """The snapshot's values of a column followed by those of `_fresh`, in one type."""
        import pyarrow as pa

        stored = [self.snapshot.items] if self.snapshot else []
        columns = [
            table[name] if name in table.column_names else pa.chunked_array([pa.nulls(table.num_rows)])
            for table in (*stored, self._fresh)
        ]
        # The snapshot's type takes precedence, as for filters; the delta's values were converted to it.
        type_ = next((column.type for column in columns if not pa.types.is_null(column.type)), pa.null())
        chunks = [chunk for column in columns for chunk in column.cast(type_, safe=False).chunks]
        return pa.chunked_array(chunks, type_)

    def _numbered(self, name: str) -> NDArray[np.int64]:
        encoded: Any = self._joined(name).dictionary_encode().combine_chunks()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        numbers = np.empty(self.size, np.int64)
        numbers[: self.base] = codes[: self.base]
        numbers[self._fresh_rows] = codes[self.base :]
        alone = np.flatnonzero(numbers < 0)
        numbers[alone] = -1 - alone
        return numbers

    # Distances

    def nearest(
        self, vector: Vector, rows: Rows, needed: int, groups: Groups | None = None
    ) -> tuple[Rows, Distances]:
        """The rows nearest to `vector`, by a scan of `rows`.

        Args:
            vector: shape (d,), float32.
            rows: ascending; all of the snapshot, or all of the delta.
            needed: how many are needed; more are returned if distances are almost equal.
            groups: if given, `needed` counts groups, and only the best row of each is returned.

        Returns:
            Rows and their distances (float32, from float64 arithmetic), unordered.
        """
        if not rows.size or not needed:
            return rows[:0], np.empty(0, np.float32)
        if rows[0] >= self.base:
            vectors, first = self.delta.vectors, self.base
        else:
            assert self.snapshot is not None
            vectors, first = self.snapshot.vectors, 0
        scanned = _scan(vector, vectors, rows - first, self.metric)
        numbers = None if groups is None else groups.numbers[rows]
        close = rows[_close(scanned, needed, numbers, self.metric)]
        chosen, distances = refined(vector, vectors, close - first, self.metric, close.size)
        return chosen + first, distances


def _scan(vector: Vector, vectors: Vectors, rows: Rows, metric: Metric) -> Distances:
    """Distances to `rows`, in order, in float32."""
    if rows.size * 2 > len(vectors):
        return exact_distances(vector, vectors, metric)[rows]
    distances = np.empty(rows.size, np.float32)
    for start in range(0, rows.size, max(1, BLOCK_FLOATS // vector.size)):
        some = rows[start : start + max(1, BLOCK_FLOATS // vector.size)]
        distances[start : start + some.size] = exact_distances(vector, vectors[some], metric)
    return distances


def _close(distances: Distances, needed: int, groups: NDArray[np.int64] | None, metric: Metric) -> Mask:
    """Rows that may be among the best `needed` rows or groups, given rounding errors."""
    own, best = (distances, distances) if groups is None else _best_of_groups(distances, groups)
    place = min(needed, best.size) - 1
    last = np.partition(best, place)[place]
    margin = 2 * ROUNDING * (1.0 if metric == "cosine" else float(last))
    return np.asarray((distances <= last + margin) & (distances <= own + margin), bool)


def _best_of_groups(distances: Distances, groups: NDArray[np.int64]) -> tuple[Distances, Distances]:
    """The minimum distance of each row's group, and of every group."""
    grouped = groups >= 0
    best = np.full(int(groups.max(initial=0)) + 1, np.inf, np.float32)
    np.minimum.at(best, groups[grouped], distances[grouped])
    own = distances.copy()
    own[grouped] = best[groups[grouped]]
    return own, np.concatenate([best[np.isfinite(best)], distances[~grouped]])
