"""The rows of a metadata file, and its problems."""

from __future__ import annotations

from dataclasses import dataclass, field

from lookalike.types import Attributes

MAX_PROBLEMS = 1_000


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Something in a file that could not be used.

    `row` is what an editor shows: the line number of CSV and JSONL (a CSV header is line 1), the row of
    Parquet counted from 1; 0 for the file as a whole.
    """

    row: int
    message: str


@dataclass(frozen=True, slots=True)
class MetadataRow:
    """The metadata of one image in one file; None or absent where there is none.

    `attributes` holds the further columns: each value a str, int, float or bool, one type per column.
    `other_ids` are the other items that the row's path can mean, such as `a\\b.jpg` for `a/b.jpg`.
    """

    id: str
    category: str | None = None
    product_id: str | None = None
    title: str | None = None
    attributes: Attributes = field(default_factory=dict)
    other_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetadataTable:
    """The usable rows of a file, one per id, and its problems, at most about `MAX_PROBLEMS`."""

    rows: list[MetadataRow]
    problems: list[RowProblem]


def bounded(problems: list[RowProblem]) -> list[RowProblem]:
    """The first problems by row. A final entry counts those that are left out."""
    ordered = sorted(problems, key=lambda problem: problem.row)
    if len(ordered) <= MAX_PROBLEMS:
        return ordered
    left = len(ordered) - MAX_PROBLEMS
    return [*ordered[:MAX_PROBLEMS], RowProblem(ordered[-1].row, f"and {left} more problems")]
