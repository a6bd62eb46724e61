"""Nearest vectors: `annoy`, `exact` and `faiss` behind one `Index`; an engine is imported when it is used."""

from lookalike.indexes.base import Index, IndexSpec
from lookalike.indexes.distance import exact_distances, exact_search, exact_search_many, score_from_distance
from lookalike.indexes.engines import build_index, check_metric, check_options, open_index

__all__ = [
    "Index",
    "IndexSpec",
    "build_index",
    "check_metric",
    "check_options",
    "exact_distances",
    "exact_search",
    "exact_search_many",
    "open_index",
    "score_from_distance",
]
