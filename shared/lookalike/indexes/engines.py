"""Build and open an index by the name of its engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from lookalike.errors import InvalidInput, UnsupportedMetric
from lookalike.indexes.base import TUNED_LIMIT, Index, IndexSpec, checked_batches
from lookalike.indexes.distance import known_metric
from lookalike.indexes.exact import ExactIndex, open_exact, write_exact
from lookalike.indexes.tuning import tune
from lookalike.types import Engine, Metric, Vectors

SEED = 20


def build_index(  # noqa: PLR0913 - the options of a build, all but five by name and with defaults
    engine: Engine,
    metric: Metric,
    vectors: Iterable[Vectors],
    dimension: int,
    folder: Path,
    *,
    n_trees: int | None = None,
    search_k: int | None = None,
    recall_target: float = 0.95,
    seed: int = SEED,
    progress: Callable[[str], None] | None = None,
) -> IndexSpec:
    """Write an index of `vectors` into `folder`, open it, and choose its effort by measurement.

    The same batches give the same files, byte for byte.

    Args:
        engine: annoy, exact or faiss.
        metric: cosine (vectors of unit length, or zero), l2 or l1.
        vectors: batches of shape (any, dimension), float32, streamed; row numbers count through them.
        dimension: length of a vector.
        folder: an existing folder; files are named `index.*`.
        n_trees: annoy's trees; by size when None.
        search_k: how many candidates a search for ten inspects (annoy's search_k, faiss's efSearch). It is
            used as given, and measured too; when None, the least of a doubling ladder that reaches
            `recall_target`.
        recall_target: share of the exact ten nearest that a search must find, in (0, 1].
        seed: of the trees and of the sampled rows.
        progress: called with a message about each step.

    Returns:
        What `open_index` needs, with the measured recall.

    Raises:
        UnsupportedMetric: the engine does not compute `metric`.
        InvalidInput: an option is out of range or belongs to another engine; a vector cannot be indexed.
        StoreUnavailable: the disk has no room.
    """
    check_options(engine, metric, n_trees, search_k)
    _check_ranges(dimension, n_trees, search_k, recall_target)
    spec = _write(engine, metric, vectors, dimension, folder, n_trees, seed)
    if progress:
        progress(f"{engine}: {spec.size:,} vectors of {dimension} dimensions written")
    if not spec.size:
        return spec
    measured = tune(
        open_index(spec, folder),
        given=_given_effort(engine, spec, search_k),
        start=_first_effort(spec),
        target=recall_target,
        seed=seed,
        progress=progress,
    )
    effort = measured.pop("effort")
    chosen = {"annoy": {"search_k": effort}, "faiss": {"ef": effort}, "exact": {}}[engine]
    return replace(spec, parameters={**spec.parameters, **chosen}, measured=measured)


def check_metric(engine: Engine, metric: Metric) -> None:
    """Whether `engine` computes `metric`: annoy and exact all of them, faiss all but l1.

    Raises:
        UnsupportedMetric: it does not, or there is no such metric.
        InvalidInput: no such engine.
    """
    if engine not in get_args(Engine):
        raise InvalidInput("no such engine", got=engine, expected=" | ".join(get_args(Engine)))
    if known_metric(metric) == "l1" and engine == "faiss":
        raise UnsupportedMetric(
            "the engine faiss does not compute this metric",
            got=metric,
            expected="cosine | l2",
            fix="Use the engine annoy or exact for l1.",
        )


def open_index(spec: IndexSpec, folder: Path) -> Index:
    """Map the files of `spec` in `folder`; nothing is read ahead.

    Raises:
        Incompatible: a file is missing, has another size or holds other vectors; the error has both values.
        InvalidInput: the engine is not installed.
    """
    if not spec.size:
        return ExactIndex(spec, np.zeros((0, spec.dimension), np.float32))
    if spec.engine == "annoy":
        from lookalike.indexes.annoy_index import open_annoy

        return open_annoy(spec, folder)
    if spec.engine == "faiss":
        from lookalike.indexes.faiss_index import open_faiss

        return open_faiss(spec, folder)
    return open_exact(spec, folder)


def _write(
    engine: Engine,
    metric: Metric,
    vectors: Iterable[Vectors],
    dimension: int,
    folder: Path,
    n_trees: int | None,
    seed: int,
) -> IndexSpec:
    batches = checked_batches(vectors, dimension, metric)
    if engine == "annoy":
        from lookalike.indexes.annoy_index import write_annoy

        return write_annoy(batches, metric, dimension, folder, n_trees=n_trees, seed=seed)
    if engine == "faiss":
        from lookalike.indexes.faiss_index import write_faiss

        return write_faiss(batches, metric, dimension, folder, seed=seed)
    return write_exact(batches, metric, dimension, folder)


def _given_effort(engine: Engine, spec: IndexSpec, search_k: int | None) -> int | None:
    # Exact search has no effort to choose: one measurement, for its latency.
    return spec.size if engine == "exact" else search_k


def _first_effort(spec: IndexSpec) -> int:
    """Annoy's own default for ten results (its trees times ten); for faiss, the lowest useful breadth."""
    return TUNED_LIMIT * spec.parameters["n_trees"] if "n_trees" in spec.parameters else 16


def check_options(engine: Engine, metric: Metric, n_trees: int | None, search_k: int | None) -> None:
    """Check these options before a build.

    Raises:
        UnsupportedMetric: as `check_metric`.
        InvalidInput: an option belongs to another engine.
    """
    check_metric(engine, metric)
    if n_trees is not None and engine != "annoy":
        raise InvalidInput("n_trees is an option of the engine annoy", got=f"engine {engine}")
    if search_k is not None and engine == "exact":
        raise InvalidInput("search_k does not apply to the engine exact, which compares all vectors")


def _check_ranges(dimension: int, n_trees: int | None, search_k: int | None, recall_target: float) -> None:
    for name, value in (("dimension", dimension), ("n_trees", n_trees), ("search_k", search_k)):
        if value is not None and value < 1:
            raise InvalidInput(f"{name} is out of range", got=value, expected="at least 1")
    if not 0 < recall_target <= 1:
        raise InvalidInput(
            "recall_target is out of range", got=recall_target, expected="more than 0, at most 1"
        )
