"""Duplicates: images that are the same picture, variants of one thing, and similar ones.

```
candidates   pairs with similar vectors or perceptual hashes; never all pairs
samples      their images, reduced
alignment    crop and scale between two images
tone         brightness and contrast between two images
evidence     structure, detail and colour, block by block
verdict      same, variant or similar, with the reasons
original     which one to keep
groups       pairs → groups
pairs        the comparison of all candidates, in steps
verdict_cache verdicts of earlier comparisons
decisions    what people decided; never offered again
find         all of it for a collection
```
"""

from lookalike.duplicates.candidates import MIN_SCORE
from lookalike.duplicates.decisions import (
    KINDS,
    Decision,
    DecisionKind,
    Decisions,
    DuplicateDecisions,
)
from lookalike.duplicates.find import (
    RELATIONS,
    Comparison,
    DuplicateGroup,
    DuplicateMember,
    begin_comparison,
    compare_items,
    comparison_of,
    find_duplicates,
)
from lookalike.duplicates.pairs import PairComparison
from lookalike.duplicates.samples import SampleReader
from lookalike.duplicates.verdict import Relation
from lookalike.duplicates.verdict_cache import VerdictCache

__all__ = [
    "KINDS",
    "MIN_SCORE",
    "RELATIONS",
    "Comparison",
    "Decision",
    "DecisionKind",
    "Decisions",
    "DuplicateDecisions",
    "DuplicateGroup",
    "DuplicateMember",
    "PairComparison",
    "Relation",
    "SampleReader",
    "VerdictCache",
    "begin_comparison",
    "compare_items",
    "comparison_of",
    "find_duplicates",
]
