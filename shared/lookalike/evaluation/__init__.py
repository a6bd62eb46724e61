"""How good an encoder is for a set of labelled pictures: numbers with intervals, and a report to look at."""

from lookalike.evaluation.bootstrap import Difference, Draws, Interval
from lookalike.evaluation.pairs import PairCounts, Threshold, pair_counts
from lookalike.evaluation.retrieval import DEPTHS, Retrieval, map_at_r, recall_at_k, retrieval
from lookalike.evaluation.sides import Sides, each_itself

__all__ = [
    "DEPTHS",
    "Difference",
    "Draws",
    "Interval",
    "PairCounts",
    "Retrieval",
    "Sides",
    "Threshold",
    "each_itself",
    "map_at_r",
    "pair_counts",
    "recall_at_k",
    "retrieval",
]
