"""One object over a store: `Library`, and `Collection` for one of its collections."""

from lookalike.library.collection import Collection
from lookalike.library.library import Library

__all__ = ["Collection", "Library"]
