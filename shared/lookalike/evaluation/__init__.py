"""Evaluate encoders on labelled images: metrics with confidence intervals, and an HTML report."""

from lookalike.evaluation.bootstrap import Difference, Draws, Interval
from lookalike.evaluation.choose_queries import QuerySplit
from lookalike.evaluation.evaluate import Candidate, evaluate
from lookalike.evaluation.pairs import PairCounts, Threshold, pair_counts
from lookalike.evaluation.queries_and_gallery import QueriesAndGallery, each_itself
from lookalike.evaluation.report import METRICS, BlendPoint, EncoderResult, EvaluationReport
from lookalike.evaluation.retrieval import DEPTHS, Retrieval, map_at_r, recall_at_k, retrieval

__all__ = [
    "DEPTHS",
    "METRICS",
    "BlendPoint",
    "Candidate",
    "Difference",
    "Draws",
    "EncoderResult",
    "EvaluationReport",
    "Interval",
    "PairCounts",
    "QueriesAndGallery",
    "QuerySplit",
    "Retrieval",
    "Threshold",
    "each_itself",
    "evaluate",
    "map_at_r",
    "pair_counts",
    "recall_at_k",
    "retrieval",
]
