"""The interface of engines, and the description of a built index."""

from __future__ import annotations

import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np

from lookalike.errors import Incompatible, InvalidInput
from lookalike.indexes.distance import Distances, Rows, check_query, exact_search, refined
from lookalike.integrity import convert
from lookalike.types import Engine, Metric, Vector, Vectors

FORMAT = 1
# The number of results for which effort is chosen and recall is recorded.
TUNED_LIMIT = 10
# Rows whose bytes the checksum covers: enough to distinguish indexes, few enough to open quickly.
CHECKED_ROWS = 16
UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class IndexSpec:
    """Description of an index, stored next to it. A reader rejects files that differ.

    Attributes:
        files: names in the index's folder; none for an index of no vectors.
        file_bytes: the size of each file.
        checksum: CRC-32 of up to 16 evenly spaced vectors, so that another index's file is recognised.
        parameters: annoy → `n_trees`, `search_k`, `seed`; faiss → `links`, `ef_construction`, `ef`.
        measured: `recall` of the exact nearest `recall_at`, the row itself left out, over `sample` rows,
            with its `standard_error`; median `latency_ms` of one search; the `ladder` of efforts tried.
    """

    engine: Engine
    metric: Metric
    dimension: int
    size: int
    files: tuple[str, ...] = ()
    file_bytes: tuple[int, ...] = ()
    checksum: int = 0
    parameters: Mapping[str, int] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`."""
        return {
            "format": self.format,
            "engine": self.engine,
            "metric": self.metric,
            "dimension": self.dimension,
            "size": self.size,
            "files": list(self.files),
            "file_bytes": list(self.file_bytes),
            "checksum": self.checksum,
            "parameters": dict(self.parameters),
            "measured": dict(self.measured),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> IndexSpec:
        """Inverse of `to_json`.

        Raises:
            Incompatible: written by another format version, or for an engine or metric unknown here.
        """
        if data.get("format") != FORMAT:
            raise Incompatible(
                "the index has another format version",
                got=data.get("format"),
                expected=FORMAT,
                fix="Build a new snapshot.",
            )
        for name, known in (("engine", get_args(Engine)), ("metric", get_args(Metric))):
            if data.get(name) not in known:
                raise Incompatible(
                    f"the index has an unknown {name}", got=data.get(name), expected=" | ".join(known)
                )
        try:
            spec: IndexSpec = convert(cls, data)
        except ValueError as error:
            raise Incompatible("the index's description cannot be read", got=str(error)) from error
        if len(spec.files) != len(spec.file_bytes) or spec.size < 0 or spec.dimension < 1:
            raise Incompatible("the index's description contradicts itself", got=str(dict(data))[:200])
        return spec


class Index(Protocol):
    """Nearest rows of a fixed set of vectors. Safe to search from several threads at once."""

    @property
    def engine(self) -> Engine:
        """The engine's name."""

    @property
    def metric(self) -> Metric:
        """The metric of its distances."""

    @property
    def dimension(self) -> int:
        """Length of its vectors."""

    @property
    def size(self) -> int:
        """How many vectors it holds."""

    @property
    def vectors(self) -> Vectors:
        """shape (size, dimension), float32: a read-only view, memory-mapped, rows possibly strided."""

    def search(self, query: Vector, limit: int, *, effort: int | None = None) -> tuple[Rows, Distances]:
        """The `limit` nearest rows, or all when there are fewer.

        Args:
            query: shape (dimension,), float32; of any length, for cosine too.
            limit: at least 1.
            effort: how many candidates to inspect (annoy's search_k, faiss's efSearch); the tuned value,
                grown with `limit`, when None. From `size` on the search is exact.

        Returns:
            Rows (int64) and distances (float32), nearest first, equal distances in the order of rows.

        Raises:
            InvalidInput: the query's dimension differs, or `limit` or `effort` is below 1.
        """


class ApproximateIndex(ABC):
    """Base of approximate engines: effort, exact final distances, and never too few results.

    Args:
        spec: what was built.
        vectors: shape (size, dimension), float32: read-only view into the engine's own storage.
        effort: tuned for `TUNED_LIMIT` results.
    """

    def __init__(self, spec: IndexSpec, vectors: Vectors, effort: int) -> None:
        self.engine = spec.engine
        self.metric = spec.metric
        self.dimension = spec.dimension
        self.size = spec.size
        self.effort = effort
        self._vectors = vectors

    @property
    def vectors(self) -> Vectors:
        """See `Index.vectors`."""
        return self._vectors

    def search(self, query: Vector, limit: int, *, effort: int | None = None) -> tuple[Rows, Distances]:
        """See `Index.search`."""
        query = check_query(query, self.dimension)
        if limit < 1 or (effort is not None and effort < 1):
            raise InvalidInput(
                "limit or effort is out of range", got=f"{limit}, {effort}", expected="at least 1"
            )
        if effort is None:
            effort = effort_for(limit, self.effort)
        wanted = min(limit, self.size)
        while effort < self.size:
            rows = self._candidates(query, wanted, effort)
            if len(rows) >= wanted:
                return refined(query, self._vectors, rows, self.metric, limit)
            # Trees that reach the same items, or a disconnected graph, can yield too few: increase the
            # effort.
            effort *= 4
        return exact_search(query, self._vectors, limit, self.metric)

    @abstractmethod
    def _candidates(self, query: Vector, limit: int, effort: int) -> Rows:
        """Up to `limit` distinct rows near `query`, in any order."""


def effort_for(limit: int, tuned: int) -> int:
    """Effort for `limit` results, given the effort tuned for `TUNED_LIMIT`.

    It grows with the root: at √10 times the effort, recall@100 is about what recall@10 is at the tuned one
    (0.975 and 0.972 for annoy, 0.993 and 0.992 for faiss, 100,000 × 256; `python -m bench.engines`).
    """
    return max(math.ceil(tuned * math.sqrt(max(1.0, limit / TUNED_LIMIT))), 2 * limit)


def checked_batches(batches: Iterable[Vectors], dimension: int, metric: Metric) -> Iterator[Vectors]:
    """The batches as contiguous float32, empty ones left out.

    Raises:
        InvalidInput: a batch has another dimension, a value that is not finite, or, for cosine, a vector
            that is neither of unit length nor zero; the row is named.
    """
    start = 0
    for given in batches:
        batch = np.ascontiguousarray(given, dtype=np.float32)
        if batch.ndim != 2 or batch.shape[1] != dimension:
            raise InvalidInput(
                "the vectors have the wrong dimension",
                got=batch.shape[1] if batch.ndim == 2 else f"shape {batch.shape}",
                expected=dimension,
            )
        finite = np.isfinite(batch).all(axis=1)
        if not finite.all():
            raise InvalidInput(f"vector {start + int(finite.argmin())} has values that are not finite")
        if metric == "cosine":
            _check_unit(batch, start)
        if len(batch):
            yield batch
        start += len(batch)


def _check_unit(batch: Vectors, start: int) -> None:
    lengths = np.linalg.norm(batch, axis=1)
    wrong = (np.abs(lengths - 1) > UNIT_TOLERANCE) & (lengths > 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise InvalidInput(
            f"vector {start + row} is not of unit length, as cosine needs",
            got=f"{lengths[row]:.4g}",
            expected="1 (or a zero vector)",
            fix="Scale the vectors to unit length, or use the metric l2.",
        )


def checksum(vectors: Vectors) -> int:
    """CRC-32 of up to `CHECKED_ROWS` evenly spaced rows."""
    if not len(vectors):
        return 0
    rows = np.unique(np.linspace(0, len(vectors) - 1, CHECKED_ROWS).astype(np.int64))
    return zlib.crc32(np.ascontiguousarray(vectors[rows]).tobytes())


def check_files(spec: IndexSpec, folder: Path) -> None:
    """Check that every file of `spec` is in `folder` with its size. Raises Incompatible, with both sizes."""
    for name, expected in zip(spec.files, spec.file_bytes, strict=True):
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != expected:
            raise Incompatible(
                f"the index file {name} is {'missing' if found is None else 'incomplete'}",
                got="nothing" if found is None else f"{found} bytes",
                expected=f"{expected} bytes",
                fix="Build a new snapshot, or copy the file again.",
            )


def check_vectors(spec: IndexSpec, vectors: Vectors) -> None:
    """Check that the file holds the vectors of `spec`. Raises Incompatible, with both checksums."""
    found = checksum(vectors)
    if found != spec.checksum:
        raise Incompatible(
            f"the index file {', '.join(spec.files)} does not have the vectors that its description names",
            got=f"checksum {found:08x}",
            expected=f"{spec.checksum:08x}",
            fix="Build a new snapshot.",
        )
