"""What is asked of a collection, and what comes back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lookalike.errors import InvalidInput

if TYPE_CHECKING:
    from lookalike.filters import Filter
    from lookalike.types import Match, Vector

QueryKind = Literal["image", "id", "vector", "text"]

VALUE_TYPES: dict[str, tuple[type, ...]] = {"image": (bytes,), "id": (str,), "text": (str,)}


@dataclass(frozen=True, slots=True)
class QueryPart:
    """One thing to look like.

    Attributes:
        kind: what `value` is.
        value: the bytes of an image file; an item's id; a vector of the encoder's dimension (any sequence
            of numbers); or a text.
        weight: share in the sum of all parts. Below 0 it means "less like this". Must be finite, not 0.
    """

    kind: QueryKind
    value: bytes | str | Vector | Sequence[float]
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight) or self.weight == 0:
            raise InvalidInput(
                "a query's weight cannot be used", got=self.weight, expected="a number other than 0"
            )
        expected = VALUE_TYPES.get(self.kind)
        if expected is not None and not isinstance(self.value, expected):
            raise InvalidInput(
                f"a query by {self.kind} has a value of the wrong type",
                got=type(self.value).__name__,
                expected=expected[0].__name__,
            )


@dataclass(frozen=True, slots=True)
class Query:
    """A search over one collection.

    Attributes:
        parts: at least one. Their vectors are summed by weight; for cosine the sum is made unit length
            again, for l2 and l1 it is divided by the sum of the weights.
        limit: how many matches to return, at least 1; fewer come back only when no more exist.
        offset: how many of the best matches to skip.
        filter: what an item must fulfil (`lookalike.filters.parse_filter`).
        min_confidence: matches below it are left out; 0 to 1. Needs a calibrated snapshot.
        group_by: return the best match only of each value of this field. Items without a value stand
            alone, each as its own group.
        include_self: keep the items that the query itself names by id.
    """

    parts: tuple[QueryPart, ...]
    limit: int = 10
    offset: int = 0
    filter: Filter | None = None
    min_confidence: float | None = None
    group_by: str | None = None
    include_self: bool = False

    def __post_init__(self) -> None:
        if not self.parts:
            raise InvalidInput(
                "a query needs something to look like", expected="an image, id, vector or text"
            )
        if self.limit < 1:
            raise InvalidInput("limit is out of range", got=self.limit, expected="1 or more")
        if self.offset < 0:
            raise InvalidInput("offset is out of range", got=self.offset, expected="0 or more")
        if self.min_confidence is not None and not 0 <= self.min_confidence <= 1:
            raise InvalidInput(
                "min_confidence is out of range", got=self.min_confidence, expected="a number from 0 to 1"
            )

    @property
    def needed(self) -> int:
        """How many of the best matches must be known to answer."""
        return self.offset + self.limit

    @property
    def own_ids(self) -> frozenset[str]:
        """Ids that the query names and that must not be among its matches."""
        if self.include_self:
            return frozenset()
        return frozenset(str(part.value) for part in self.parts if part.kind == "id")


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one query, from one view of the collection throughout.

    Attributes:
        collection: its name.
        encoder: id of the encoder that made every vector involved.
        snapshot: id of the snapshot searched; None before the first one.
        index_time: when that snapshot was built, ISO 8601 in UTC; None before the first one. Newer rows
            were searched too.
        took_ms: milliseconds from the query to this answer, encoding included.
        matches: best first; equal distances in the order of their ids.
    """

    collection: str
    encoder: str
    snapshot: str | None
    index_time: str | None
    took_ms: float
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class SearcherStatus:
    """What a searcher serves now, for health checks.

    Attributes:
        collection: its name.
        encoder: id of the encoder in use; None before anything was loaded.
        snapshot: id of the snapshot in use; None before the first one.
        items: items that a search can find.
        delta: of these, the ones newer than the snapshot.
        checked_at: when the store was last asked for news, ISO 8601 in UTC.
        problem: why the newest state could not be loaded; None when all is well. A view loaded before
            goes on serving.
    """

    collection: str
    encoder: str | None
    snapshot: str | None
    items: int
    delta: int
    checked_at: str | None
    problem: str | None
