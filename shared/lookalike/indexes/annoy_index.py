"""Engine `annoy`: a forest of random-projection trees in one memory-mapped file (Spotify's Annoy 1.17).

The file `index.annoy` is an array of nodes of one size. The first `size` of them are the items, and each
carries its whole vector, so a strided view into the file is the collection's vectors at no further cost
(annoylib.h, `struct Node` of Angular and Minkowski):

    cosine   int32 descendants, float32 squared norm, 4 bytes, then float32 × dimension
    l2, l1   int32 descendants, float32 offset, int32 × 2 children, then float32 × dimension

Annoy does not guarantee this layout, so the view is compared with `get_item_vector` at build and at every
load.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lookalike.errors import Incompatible, StoreUnavailable
from lookalike.indexes.base import (
    TUNED_LIMIT,
    ApproximateIndex,
    IndexSpec,
    check_files,
    check_vectors,
    checksum,
)
from lookalike.indexes.distance import Rows
from lookalike.types import Metric, Vector, Vectors

FILE = "index.annoy"
NAMES: dict[Metric, Literal["angular", "euclidean", "manhattan"]] = {
    "cosine": "angular",
    "l2": "euclidean",
    "l1": "manhattan",
}
# This holds for any dimension: a leaf lists as many items as a vector has numbers.
TREE_BYTES_PER_ITEM = 16
# Annoy takes search_k as a C int.
MAX_SEARCH_K = 2**31 - 1


class AnnoyIndex(ApproximateIndex):
    """A loaded forest.

    Args:
        spec: what was built.
        forest: the loaded `annoy.AnnoyIndex`.
        vectors: view into its file.
    """

    def __init__(self, spec: IndexSpec, forest: Any, vectors: Vectors) -> None:
        effort = spec.parameters.get("search_k", spec.parameters["n_trees"] * TUNED_LIMIT)
        super().__init__(spec, vectors, effort)
        self._forest = forest

    def _candidates(self, query: Vector, limit: int, effort: int) -> Rows:
        found = self._forest.get_nns_by_vector(query.tolist(), limit, min(effort, MAX_SEARCH_K))
        return np.array(found, dtype=np.int64)


def write_annoy(
    batches: Iterable[Vectors],
    metric: Metric,
    dimension: int,
    folder: Path,
    *,
    n_trees: int | None,
    seed: int,
) -> IndexSpec:
    """Stream `batches` into a forest that is built in its file, not in memory.

    One thread builds: with several, Annoy numbers the nodes in the order in which threads finish, and the
    same vectors would give a different file (and different ties) each time.

    Args:
        batches: checked, float32.
        metric: cosine, l2 or l1.
        dimension: of the vectors.
        folder: where `index.annoy` goes.
        n_trees: how many trees; `default_trees` when None.
        seed: of Annoy's random numbers.

    Raises:
        StoreUnavailable: the disk has no room. (Annoy would be killed by SIGBUS.)
        Incompatible: this version of Annoy has another file layout.
    """
    path = folder / FILE
    forest = _new_forest(metric, dimension)
    forest.set_seed(seed)
    forest.on_disk_build(str(path))
    size = 0
    for batch in batches:
        _need_room(folder, 2 * batch.nbytes)
        for vector in batch:
            forest.add_item(size, vector.tolist())
            size += 1
    if not size:
        forest.unload()
        path.unlink()
        return IndexSpec("annoy", metric, dimension, size)
    trees = n_trees or default_trees(size, dimension)
    _need_room(folder, TREE_BYTES_PER_ITEM * size * trees)
    forest.build(trees, n_jobs=1)
    forest.unload()
    vectors = _view(path, metric, dimension, size)
    return IndexSpec(
        "annoy",
        metric,
        dimension,
        size,
        (FILE,),
        (path.stat().st_size,),
        checksum(vectors),
        {"n_trees": trees, "seed": seed},
    )


def open_annoy(spec: IndexSpec, folder: Path) -> AnnoyIndex:
    """Map the file of `spec`; nothing is read ahead. Raises Incompatible when the two disagree."""
    check_files(spec, folder)
    path = folder / FILE
    forest = _new_forest(spec.metric, spec.dimension)
    try:
        forest.load(str(path), prefault=False)
    except OSError as error:
        raise Incompatible(
            f"the index file {FILE} cannot be read: {error}",
            expected=f"{spec.metric} vectors of {spec.dimension} dimensions",
            fix="Build a new snapshot.",
        ) from error
    if forest.get_n_items() != spec.size:
        raise Incompatible(
            f"the index file {FILE} holds another number of vectors",
            got=forest.get_n_items(),
            expected=spec.size,
            fix="Build a new snapshot.",
        )
    vectors = _view(path, spec.metric, spec.dimension, spec.size)
    _check_view(forest, vectors)
    check_vectors(spec, vectors)
    return AnnoyIndex(spec, forest, vectors)


def default_trees(size: int, dimension: int) -> int:
    """The default number of trees for `size` vectors.

    search_k determines recall; each tree costs 12 bytes per item and build time in proportion, and
    beyond some dozens saves little. 100,000 × 256 clustered vectors, least search_k of a doubling ladder
    with recall@10 ≥ 0.95: 5 trees 3,200, 10 trees 3,200 (1,600 gives 0.947), 20 trees 1,600, 40 trees 800,
    built in 1, 2, 4 and 9 s. 3,409 clothing photos × 1280: 10 trees 1,600, 20 trees 200. A leaf holds
    dimension + 2 items, so up to there one tree has them all.
    """
    if size <= dimension + 2:
        return 1
    return 20 if size <= 1_000_000 else 40


def _new_forest(metric: Metric, dimension: int) -> Any:  # annoy has no types
    from annoy import AnnoyIndex as Forest

    return Forest(dimension, NAMES[metric])


def _view(path: Path, metric: Metric, dimension: int, size: int) -> Vectors:
    """Read-only strided view of shape (size, dimension) into the file."""
    vector = ("vector", "<f4", (dimension,))
    if metric == "cosine":
        node = np.dtype([("descendants", "<i4"), ("norm", "<f4"), ("child", "<i4"), vector])
    else:
        node = np.dtype([("descendants", "<i4"), ("offset", "<f4"), ("children", "<i4", (2,)), vector])
    nodes = np.memmap(path, dtype=node, mode="r")
    return np.asarray(nodes)["vector"][:size]


def _check_view(forest: Any, vectors: Vectors) -> None:
    last = len(vectors) - 1
    for row in sorted({0, last // 2, last}):
        if not np.array_equal(np.array(forest.get_item_vector(row), np.float32), vectors[row]):
            raise Incompatible(
                f"this version of Annoy has another file layout: vector {row} is not where it is expected",
                got=_annoy_version(),
                expected="annoy 1.17",
                fix="Install annoy 1.17.3, or use the engine exact.",
            )


def _annoy_version() -> str:
    from importlib.metadata import version

    return f"annoy {version('annoy')}"


def _need_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StoreUnavailable(
            "the disk has no room for the index",
            got=f"{free} bytes free",
            expected=f"{needed} bytes",
            fix="Free some space, or put the work folder elsewhere.",
        )
