"""Path parameters that several operations share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from lookalike.layout import MAX_KEY_BYTES

CollectionName = Annotated[
    str, Path(pattern="^[a-z0-9][a-z0-9-]{0,62}$", examples=["fashion"], description="A collection's name.")
]
ItemId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=MAX_KEY_BYTES,
        examples=["shoes/0001.jpg"],
        description="An item's id: its path below the collection's images, including slashes.",
    ),
]
