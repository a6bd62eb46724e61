"""Queries, their results, and the status of a searcher."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from lookalike.confidence import CategoryEstimate
from lookalike.errors import InvalidInput
from lookalike.text_search import TextMode, TextReading
from lookalike.types import Likelihood, RankBy

if TYPE_CHECKING:
    from lookalike.filters import Filter
    from lookalike.types import Match, Vector

QueryKind = Literal["image", "id", "vector", "text"]

RANKS = get_args(RankBy)
WORDS = get_args(Likelihood)
MODES = get_args(TextMode)
VALUE_TYPES: dict[str, tuple[type, ...]] = {"image": (bytes,), "id": (str,), "text": (str,)}


@dataclass(frozen=True, slots=True)
class QueryPart:
    """One part of a query.

    Attributes:
        kind: what `value` is.
        value: the bytes of an image file; an item's id; a vector of the encoder's dimension (any sequence
            of numbers); or a text.
        weight: share in the sum of all parts; negative means "less like this". Finite and not 0.
    """

    kind: QueryKind
    value: bytes | str | Vector | Sequence[float]
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight) or self.weight == 0:
            raise InvalidInput(
                "invalid weight of a query part", got=self.weight, expected="a number other than 0"
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
        limit: number of matches, at least 1; fewer are returned only if no more exist.
        offset: number of best matches to skip.
        filter: condition on the items (`lookalike.filters.parse_filter`).
        min_confidence: drop matches below it; 0 to 1, or the word for it. Needs a snapshot with confidence.
        rank_by: what puts a match first. "confidence" finds more of the query's category; near-copies may
            come later. Needs a snapshot with confidence.
        group_by: return only the best match of each value of this field. Each item without a value is its
            own group.
        include_self: keep the items that the query names by id.
        mode: what a query of words is compared with: the items' "words", the "meaning" of their images, or
            ("auto") both. Other queries with words are always compared by meaning.
    """

    parts: tuple[QueryPart, ...]
    limit: int = 10
    offset: int = 0
    filter: Filter | None = None
    min_confidence: float | Likelihood | None = None
    rank_by: RankBy = "similarity"
    group_by: str | None = None
    include_self: bool = False
    mode: TextMode = "auto"

    def __post_init__(self) -> None:
        if not self.parts:
            raise InvalidInput("the query is empty", expected="an image, id, vector or text")
        if self.limit < 1:
            raise InvalidInput("limit is out of range", got=self.limit, expected="1 or more")
        if self.offset < 0:
            raise InvalidInput("offset is out of range", got=self.offset, expected="0 or more")
        if self.rank_by not in RANKS:
            raise InvalidInput("invalid rank_by", got=self.rank_by, expected=" or ".join(RANKS))
        if self.mode not in MODES:
            raise InvalidInput("invalid mode", got=self.mode, expected=", ".join(MODES))
        if self.min_confidence is not None and not _is_confidence(self.min_confidence):
            raise InvalidInput(
                "min_confidence is out of range",
                got=self.min_confidence,
                expected=f"a number from 0 to 1, or {', '.join(WORDS)}",
            )

    @property
    def needed(self) -> int:
        """How many best matches the search must find."""
        return self.offset + self.limit

    @property
    def has_text(self) -> bool:
        """Whether a part of it is words."""
        return any(part.kind == "text" for part in self.parts)

    @property
    def named_ids(self) -> frozenset[str]:
        """Ids of the items that the query names. They say nothing about it, and are not among its matches
        without `include_self`."""
        return frozenset(str(part.value) for part in self.parts if part.kind == "id")


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of one query, from one view of the collection.

    Attributes:
        collection: its name.
        encoder: id of the encoder that made every vector involved.
        snapshot: id of the snapshot; None before the first one.
        index_time: when that snapshot was built, ISO 8601 in UTC; None before the first one. Newer rows
            were searched too.
        took_ms: milliseconds, including encoding.
        matches: best first; equal distances are ordered by id.
        category_estimate: the most probable categories of the query, and None for none that the collection
            has; most probable first. Empty without confidence.
        confidence_reason: why matches have no confidence; None: those with a category have one.
        text: how the words of the query were understood; None: it has none.
    """

    collection: str
    encoder: str
    snapshot: str | None
    index_time: str | None
    took_ms: float
    matches: tuple[Match, ...]
    category_estimate: tuple[CategoryEstimate, ...] = ()
    confidence_reason: str | None = None
    text: TextReading | None = None

    def reason(self, match: Match) -> str | None:
        """Why a match has no confidence; None: it has one."""
        if match.confidence is not None:
            return None
        return self.confidence_reason or "the item has no category"


def _is_confidence(value: object) -> bool:
    return value in WORDS if isinstance(value, str) else isinstance(value, int | float) and 0 <= value <= 1


@dataclass(frozen=True, slots=True)
class SearcherStatus:
    """The state of a searcher, for health checks.

    Attributes:
        collection: its name.
        encoder: id of the encoder in use; None before anything was loaded.
        snapshot: id of the snapshot in use; None before the first one.
        items: number of searchable items.
        delta: how many of them are newer than the snapshot.
        checked_at: time of the last check for changes, ISO 8601 in UTC.
        problem: why the newest state could not be loaded, or None. The previous view stays in use.
    """

    collection: str
    encoder: str | None
    snapshot: str | None
    items: int
    delta: int
    checked_at: str | None
    problem: str | None
