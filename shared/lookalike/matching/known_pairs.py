"""Pairs that people have decided: a table of the ids of both sides, and whether they are one product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lookalike.errors import InvalidInput
from lookalike.matching.listing import Listing
from lookalike.metadata import Record, RowProblem, read_records

NO = frozenset({"0", "0.0", "no", "false", "n"})
SIDE_COLUMNS = ("left_id", "right_id")
VERDICT_COLUMN = "match"
SHOWN = 3


@dataclass(frozen=True, slots=True)
class KnownPairs:
    """Decided pairs, as rows of the two listings.

    Attributes:
        same: pairs of one product.
        different: pairs that are not.
        unknown: how many rows named an id that a listing lacks.
    """

    same: frozenset[tuple[int, int]]
    different: frozenset[tuple[int, int]]
    unknown: int = 0


def read_known_pairs(path: Path, left: Listing, right: Listing, *, many: bool = False) -> KnownPairs:
    """Read a table with `left_id`, `right_id` and perhaps `match` (no, false or 0: not the same product).

    A table of just two columns may call them anything; the first is the left one.

    Args:
        path: CSV, JSON Lines or Parquet.
        left, right: the listings.
        many: whether a product may have several partners.

    Raises:
        InvalidInput: no such file, no such columns, no known id, or rows that contradict each other.
        MetadataError: the file cannot be read.
    """
    if not path.is_file():
        raise InvalidInput("no such table of known pairs", got=str(path))
    problems: list[RowProblem] = []
    records = read_records(path.name, path.read_bytes(), problems)
    columns = _columns(path, list(dict.fromkeys(name for record in records for name in record.cells)))
    rows = tuple({own: row for row, own in enumerate(side.ids)} for side in (left, right))
    decided: dict[tuple[int, int], bool] = {}
    unknown = 0
    for record in records:
        one, other = (rows[n].get(_text(record, columns[n])) for n in (0, 1))
        if one is None or other is None:
            unknown += 1
            continue
        verdict = _text(record, VERDICT_COLUMN).casefold() not in NO
        if decided.setdefault((one, other), verdict) is not verdict:
            raise InvalidInput(
                f"{path.name} contradicts itself",
                got=f"{left.ids[one]} and {right.ids[other]} both as a match and as none",
                fix="Keep one of the rows.",
            )
    if not decided:
        raise InvalidInput(
            f"{path.name} names no pair of these two tables", got=f"{len(records)} rows", expected="their ids"
        )
    same = frozenset(pair for pair, verdict in decided.items() if verdict)
    if not many:
        _check_one_to_one(path, same, left, right)
    return KnownPairs(same, frozenset(decided) - same, unknown)


def _columns(path: Path, names: Sequence[str]) -> tuple[str, str]:
    if all(name in names for name in SIDE_COLUMNS):
        return SIDE_COLUMNS
    if len(names) == 2:
        return names[0], names[1]
    raise InvalidInput(
        f"{path.name} does not say which ids belong together",
        got="columns " + ", ".join(names[:20]),
        expected="left_id and right_id",
    )


def _text(record: Record, column: str) -> str:
    value = record.cells.get(column)
    return "" if value is None else str(value).strip()


def _check_one_to_one(path: Path, same: frozenset[tuple[int, int]], left: Listing, right: Listing) -> None:
    for side, listing in ((0, left), (1, right)):
        partners: dict[int, int] = {}
        for pair in same:
            partners[pair[side]] = partners.get(pair[side], 0) + 1
        several = sorted(listing.ids[row] for row, count in partners.items() if count > 1)
        if several:
            raise InvalidInput(
                f"{path.name} gives a product more than one partner",
                got=", ".join(several[:SHOWN]),
                fix="Use --many if a product may have several, or remove rows.",
            )
