"""Engine `faiss`: a navigable small-world graph over flat vectors (HNSW; Malkov & Yashunin 2018).

The file `index.faiss` is FAISS's own format, memory-mapped for reading. Cosine is the inner product of
unit vectors, under which a zero vector has similarity 0, as it has here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.errors import Incompatible, InvalidInput
from lookalike.indexes.base import ApproximateIndex, IndexSpec, check_files, check_vectors, checksum
from lookalike.indexes.distance import Rows
from lookalike.types import Metric, Vector, Vectors

FILE = "index.faiss"
# FAISS's own defaults: neighbors per node (M) and breadth of the search while adding.
LINKS = 16
EF_CONSTRUCTION = 40
LOWEST_EF = 16


class FaissIndex(ApproximateIndex):
    """A loaded graph.

    Args:
        spec: what was built.
        graph: the loaded `faiss.IndexHNSWFlat`.
        vectors: view into its storage.
    """

    def __init__(self, spec: IndexSpec, graph: Any, vectors: Vectors) -> None:
        super().__init__(spec, vectors, spec.parameters.get("ef", LOWEST_EF))
        self._graph = graph

    def _candidates(self, query: Vector, limit: int, effort: int) -> Rows:
        parameters = _faiss().SearchParametersHNSW(efSearch=max(effort, limit))
        _, rows = self._graph.search(query[None], limit, params=parameters)
        return np.asarray(rows[0][rows[0] >= 0], dtype=np.int64)


class _Storage:
    """The graph's own vectors as an array whose base keeps the graph, and so its memory map, alive."""

    def __init__(self, graph: Any, size: int, dimension: int) -> None:
        self.graph = graph
        numbers = _faiss().downcast_index(graph.storage).get_xb()
        self.__array_interface__ = {
            "data": (int(numbers), True),
            "shape": (size, dimension),
            "typestr": "<f4",
            "version": 3,
        }


def write_faiss(
    batches: Iterable[Vectors], metric: Metric, dimension: int, folder: Path, *, seed: int
) -> IndexSpec:
    """Stream `batches` into a graph, which is built in memory, and write it.

    One thread adds, because the graph depends on the order in which threads link nodes. `metric` is cosine
    or l2 (`engines.check_metric`).

    Raises:
        InvalidInput: faiss is not installed.
    """
    faiss = _faiss()
    measure = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    graph = faiss.IndexHNSWFlat(dimension, LINKS, measure)
    graph.hnsw.efConstruction = EF_CONSTRUCTION
    graph.hnsw.rng = faiss.RandomGenerator(seed)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        for batch in batches:
            graph.add(batch)
    finally:
        faiss.omp_set_num_threads(threads)
    size = int(graph.ntotal)
    if not size:
        return IndexSpec("faiss", metric, dimension, size)
    path = folder / FILE
    faiss.write_index(graph, str(path))
    parameters = {"links": LINKS, "ef_construction": EF_CONSTRUCTION, "seed": seed}
    total = checksum(np.asarray(_Storage(graph, size, dimension)))
    return IndexSpec("faiss", metric, dimension, size, (FILE,), (path.stat().st_size,), total, parameters)


def open_faiss(spec: IndexSpec, folder: Path) -> FaissIndex:
    """Map the file of `spec`. Raises Incompatible when the two disagree, InvalidInput without faiss."""
    faiss = _faiss()
    check_files(spec, folder)
    try:
        graph = faiss.read_index(str(folder / FILE), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise Incompatible(
            f"the index file {FILE} cannot be read: {str(error)[:200]}", fix="Build a new snapshot."
        ) from error
    if (graph.ntotal, graph.d) != (spec.size, spec.dimension):
        raise Incompatible(
            f"the index file {FILE} does not have the vectors that its description names",
            got=f"{graph.ntotal} × {graph.d}",
            expected=f"{spec.size} × {spec.dimension}",
            fix="Build a new snapshot.",
        )
    vectors = np.asarray(_Storage(graph, spec.size, spec.dimension))
    check_vectors(spec, vectors)
    return FaissIndex(spec, graph, vectors)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise InvalidInput(
            "the engine faiss is not installed",
            expected="the package faiss-cpu",
            fix="Run: pip install 'lookalike[faiss]', or use the engine annoy.",
        ) from error
    return faiss
