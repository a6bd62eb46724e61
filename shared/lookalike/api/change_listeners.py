"""Listeners for changes that the API makes to a store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class ChangeListener(Protocol):
    """Receives the changes that this process makes, for stores whose bucket does not report them."""

    def objects_changed(self, keys: Sequence[str], *, wait_seconds: float = 0.0) -> None:
        """Objects of the images root were written or removed.

        Returns once searches see the change, or after `wait_seconds`.
        """

    def collection_changed(self, name: str) -> None:
        """A collection was created, or its configuration changed."""

    def paused(self, name: str) -> AbstractContextManager[None]:
        """Publish nothing in a collection while the block runs."""


class NoListener:
    """The listener for stores that send their own events."""

    def objects_changed(self, keys: Sequence[str], *, wait_seconds: float = 0.0) -> None:
        """Do nothing."""

    def collection_changed(self, name: str) -> None:
        """Do nothing."""

    def paused(self, name: str) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()
