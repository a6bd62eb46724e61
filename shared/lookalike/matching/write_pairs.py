"""Write matched pairs as a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from lookalike.errors import InvalidInput
from lookalike.matching.match_listings import Pair

NAMES = tuple(field.name for field in fields(Pair))
Rows = Sequence[dict[str, Any]]


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Write pairs as CSV, JSON Lines or Parquet, by the suffix of `path`. The file appears whole or not.

    Raises:
        InvalidInput: another suffix.
    """
    write = check_suffix(path)
    staged = path.with_name(f"{path.name}.part")
    write(
        staged,
        [
            {**asdict(pair), "agree": "; ".join(pair.agree), "contradict": "; ".join(pair.contradict)}
            for pair in pairs
        ],
    )
    staged.replace(path)


def check_suffix(path: Path) -> Callable[[Path, Rows], None]:
    """The writer for a suffix. Raises InvalidInput for any but .csv, .jsonl and .parquet."""
    if path.suffix.lower() not in _WRITERS:
        raise InvalidInput("unknown kind of output file", got=path.name, expected=", ".join(_WRITERS))
    return _WRITERS[path.suffix.lower()]


def _csv(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=NAMES)
        writer.writeheader()
        writer.writerows(rows)


def _jsonl(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _parquet(path: Path, rows: Rows) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"confidence": pa.float64(), "review": pa.bool_(), "known": pa.bool_()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in NAMES])
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in NAMES}, schema=schema), path)


_WRITERS: dict[str, Callable[[Path, Rows], None]] = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
