"""A search without its encoding, over 100,000 items: `python -m bench.search [--items N] [--dimension D]`.

Filters, groups and pages decide between an index search and a scan of every allowed row. The table shows the
cost of each, for a snapshot alone and with the largest delta before the next build.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.growth import put
from bench.vectors import embedding_like
from lookalike.catalogue import Catalogue
from lookalike.collection_config import CollectionConfig, Collections
from lookalike.filters import Filter, parse_filter
from lookalike.search.delta import DeltaRows
from lookalike.search.find_nearest import Request, find
from lookalike.search.view import View
from lookalike.snapshots import build_snapshot, open_snapshot
from lookalike.storage import Store
from lookalike.types import Vector, Vectors

QUERIES = 40
DELTA_FRACTION = 0.1

Case = tuple[Filter | None, str | None, int]
"""A filter, what to group by, how many results."""

CASES: dict[str, tuple[object, str | None, int]] = {
    "best 10": (None, None, 10),
    "best 100": (None, None, 100),
    "best 10 of one category in 20": ({"category": "c7"}, None, 10),
    "best 10 of half of all": ({"category": {"in": [f"c{number}" for number in range(10)]}}, None, 10),
    "best 10 of one item in 1,000": ({"id": {"gte": "c0/0000000", "lt": "c0/0002000"}}, None, 10),
    "best of each of 10 categories": (None, "category", 10),
    "best of each of all 20 categories": (None, "category", 20),
}


def build(folder: Path, vectors: Vectors) -> tuple[View, View]:
    """A view of a snapshot alone, and one with an additional delta of new items."""
    artifacts = Store(str(folder / "artifacts"))
    config = CollectionConfig("search", "synthetic-000000000000")
    Collections(artifacts).create(config)
    catalogue = Catalogue(artifacts, config.name, config.encoder_id, vectors.shape[1])
    for start in range(0, len(vectors), 5_000):
        put(catalogue, start, vectors[start : start + 5_000])
    manifest = build_snapshot(artifacts, config, catalogue, work_dir=folder / "work")
    snapshot = open_snapshot(manifest, artifacts, folder / "cache")
    alone = View(config.metric, snapshot, DeltaRows(manifest.catalogue))
    put(catalogue, len(vectors), vectors[: int(len(vectors) * DELTA_FRACTION)])
    delta = catalogue.delta(manifest.catalogue)
    delta = replace(delta, vectors=snapshot.in_search_space(delta.vectors))
    return alone, alone.advanced(alone.delta.advanced(delta))


def milliseconds(
    view: View, queries: Vectors, filter_: Filter | None, group_by: str | None, limit: int
) -> float:
    """Median time of one search."""
    return statistics.median(_timed(view, query, filter_, group_by, limit) for query in queries)


def _timed(view: View, query: Vector, filter_: Filter | None, group_by: str | None, limit: int) -> float:
    started = time.perf_counter()
    allowed = view.alive if filter_ is None else view.fulfilling(filter_)
    groups = None if group_by is None else view.groups(group_by)
    found = find(view, query, Request(limit, allowed, groups))
    for row in found.rows.tolist():
        view.item_at(row)
    return (time.perf_counter() - started) * 1e3


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=1_280)
    options = parser.parse_args(argv)
    vectors = embedding_like(options.items, options.dimension)
    queries = vectors[np.random.default_rng(1).choice(len(vectors), QUERIES, replace=False)]
    with tempfile.TemporaryDirectory() as folder:
        alone, with_delta = build(Path(folder), vectors)
        assert alone.snapshot is not None
        queries = alone.snapshot.in_search_space(queries)
        print(f"{options.items:,} items × {options.dimension}, {alone.snapshot.manifest.index.parameters}\n")
        print("| search | snapshot alone, ms | with a delta of a tenth, ms |")
        print("|---|---:|---:|")
        for name, (body, group_by, limit) in CASES.items():
            filter_ = None if body is None else parse_filter(body)
            first, second = (
                milliseconds(view, queries, filter_, group_by, limit) for view in (alone, with_delta)
            )
            print(f"| {name} | {first:.2f} | {second:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
