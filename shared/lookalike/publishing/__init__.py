"""Publishing: change the encoder of a collection in use, and roll back."""

from lookalike.publishing.labelled_vectors import (
    ExampleVectors,
    compare_on_collection,
    compare_on_own_or_else,
)
from lookalike.publishing.publish import Publication, publish_encoder
from lookalike.publishing.publish_rule import Comparison, Measured, compare_vectors
from lookalike.publishing.reencode import Encoding, EncodingCancelled
from lookalike.publishing.rollback import rollback

__all__ = [
    "Comparison",
    "Encoding",
    "EncodingCancelled",
    "ExampleVectors",
    "Measured",
    "Publication",
    "compare_on_collection",
    "compare_on_own_or_else",
    "compare_vectors",
    "publish_encoder",
    "rollback",
]
