"""Find similar images: `lookalike.open("store").collection("shop").search("query.jpg", k=5)`."""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers read it; importing `typing` would cost more than all the rest
if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.library import Collection, Library

__version__ = "0.1.0"
__all__ = ["Collection", "Library", "__version__", "open"]


def open(url: str | None = None, *, cache: Path | None = None) -> Library:
    """The library over a store: a folder, or `s3://bucket/prefix`; see `Library.open`."""
    from lookalike.library import Library

    return Library.open(url, cache=cache)


def __getattr__(name: str) -> object:
    # Late, so that importing `lookalike` costs nothing.
    if name in {"Collection", "Library"}:
        from lookalike import library

        return getattr(library, name)
    raise AttributeError(f"module 'lookalike' has no attribute {name!r}")
