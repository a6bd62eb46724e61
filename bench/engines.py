"""Build time, size, recall and latency of every engine, compared with hnswlib, in one run.

    python -m bench.engines [--items 100000] [--dimension 256] [--metric cosine] [--target 0.95]

Queries are 500 vectors of the same distribution that are in no index; truth is exact search in float64.
Builds use one thread (that is what makes them reproducible), searches come one at a time. Rounds of
searches alternate between the engines, so that a busy machine slows all of them, not one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.vectors import batches, embedding_like
from lookalike.indexes import Index, build_index, check_metric, exact_search_many, open_index
from lookalike.indexes.base import effort_for
from lookalike.indexes.distance import Distances, Rows
from lookalike.indexes.engines import SEED
from lookalike.indexes.tuning import tune
from lookalike.types import ENGINES, METRICS, Engine, Metric, Vector, Vectors

QUERIES = 500
ROUNDS = 3
LIMITS = (10, 100)
SPACES: dict[Metric, str] = {"cosine": "cosine", "l2": "l2"}


@dataclass(frozen=True)
class Built:
    """One row of the table, before its searches."""

    name: str
    index: Index
    build_seconds: float
    tune_seconds: float
    file_bytes: int
    parameters: str


class Hnswlib:
    """The external reference: hnswlib, with its own defaults."""

    engine: Engine = "exact"  # not one of our engines; only its `search` is used

    def __init__(self, vectors: Vectors, metric: Metric) -> None:
        import hnswlib

        self.metric = metric
        self.size, self.dimension = vectors.shape
        self.vectors = vectors
        self.graph: Any = hnswlib.Index(space=SPACES[metric], dim=self.dimension)
        self.graph.init_index(max_elements=self.size, M=16, ef_construction=200, random_seed=SEED)
        self.graph.set_num_threads(1)
        self.graph.add_items(vectors)
        self.effort = 16

    def search(self, query: Vector, limit: int, *, effort: int | None = None) -> tuple[Rows, Distances]:
        # The breadth is a state of the graph, and must cover the results.
        self.graph.set_ef(effort_for(limit, self.effort) if effort is None else max(effort, limit))
        rows, distances = self.graph.knn_query(query, k=limit)
        found = distances[0] if self.metric == "cosine" else np.sqrt(distances[0])
        return rows[0].astype(np.int64), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--metric", choices=METRICS, default="cosine")
    parser.add_argument(
        "--target", type=float, default=0.95, help="recall@10 that annoy and faiss are tuned to"
    )
    options = parser.parse_args()
    everything = embedding_like(options.items + QUERIES, options.dimension)
    vectors, queries = everything[: options.items], everything[options.items :]
    print(f"{options.items:,} × {options.dimension}, {options.metric}, tuned to recall@10 {options.target}\n")
    with tempfile.TemporaryDirectory() as folder:
        rows = build_all(vectors, options.metric, options.target, Path(folder))
        print_table(rows, vectors, queries, options.metric)


def build_all(vectors: Vectors, metric: Metric, target: float, folder: Path) -> list[Built]:
    """Every engine that supports `metric`, and hnswlib if it does."""
    rows = []
    for engine in ENGINES:
        if engine == "faiss" and metric == "l1":
            continue
        check_metric(engine, metric)
        rows.append(build_ours(engine, vectors, metric, target, folder))
    if metric in SPACES:
        rows.append(build_hnswlib(vectors, metric, target, folder))
    return rows


def build_ours(engine: Engine, vectors: Vectors, metric: Metric, target: float, folder: Path) -> Built:
    marks = [time.perf_counter()]
    spec = build_index(
        engine,
        metric,
        batches(vectors),
        vectors.shape[1],
        folder,
        recall_target=target,
        # The first message comes when the file is written; the rest is tuning.
        progress=lambda _: marks.append(time.perf_counter()),
    )
    end = time.perf_counter()
    shown = {k: v for k, v in spec.parameters.items() if k in ("n_trees", "search_k", "ef", "links")}
    parameters = ", ".join(f"{name} {value}" for name, value in shown.items())
    return Built(
        engine,
        open_index(spec, folder),
        marks[1] - marks[0],
        end - marks[1],
        sum(spec.file_bytes),
        parameters,
    )


def build_hnswlib(vectors: Vectors, metric: Metric, target: float, folder: Path) -> Built:
    start = time.perf_counter()
    index = Hnswlib(vectors, metric)
    built = time.perf_counter()
    index.effort = tune(index, given=None, start=16, target=target, seed=SEED)["effort"]
    end = time.perf_counter()
    path = folder / "reference"
    index.graph.save_index(str(path))
    size = path.stat().st_size
    return Built("hnswlib", index, built - start, end - built, size, f"M 16, ef {index.effort}")


def print_table(rows: list[Built], vectors: Vectors, queries: Vectors, metric: Metric) -> None:
    truth = exact_search_many(queries, vectors, max(LIMITS), metric)[1]
    recall = {
        (row.name, limit): recall_of(row.index, queries, truth, limit) for row in rows for limit in LIMITS
    }
    times: dict[str, list[float]] = {row.name: [] for row in rows}
    for _ in range(ROUNDS):
        for row in rows:
            times[row.name] += latencies(row.index, queries[: 50 if row.name == "exact" else QUERIES])
    print("| engine | build s | tune s | file MB | recall@10 | recall@100 | median ms | p95 ms | chosen |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        median, high = np.percentile(times[row.name], [50, 95]) * 1e3
        print(
            f"| {row.name} | {row.build_seconds:.1f} | {row.tune_seconds:.1f} | {row.file_bytes / 1e6:.0f} "
            f"| {recall[row.name, 10]:.3f} | {recall[row.name, 100]:.3f} "
            f"| {median:.2f} | {high:.2f} | {row.parameters} |"
        )


def recall_of(index: Index, queries: Vectors, truth: Distances, limit: int) -> float:
    """Share of the exact nearest that is found: results not farther than the exact last place."""
    hits = [
        (index.search(query, limit)[1] <= distances[limit - 1] * (1 + 1e-5) + 1e-6).sum() / limit
        for query, distances in zip(queries, truth, strict=True)
    ]
    return float(np.mean(hits))


def latencies(index: Index, queries: Vectors) -> list[float]:
    """Seconds of each search for ten."""
    found = []
    for query in queries:
        start = time.perf_counter()
        index.search(query, 10)
        found.append(time.perf_counter() - start)
    return found


if __name__ == "__main__":
    main()
