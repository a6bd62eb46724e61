"""Publishing: another encoder for a collection that is in use, and the way back."""

from lookalike.publishing.comparison import Comparison, Measured, compare_vectors
from lookalike.publishing.encoding import Encoding, EncodingCancelled
from lookalike.publishing.judging import ExampleVectors, judge_collection
from lookalike.publishing.publish import Publication, publish_encoder
from lookalike.publishing.rollback import rollback

__all__ = [
    "Comparison",
    "Encoding",
    "EncodingCancelled",
    "ExampleVectors",
    "Measured",
    "Publication",
    "compare_vectors",
    "judge_collection",
    "publish_encoder",
    "rollback",
]
