"""What a key of the images root means."""

from __future__ import annotations

from typing import Literal, NamedTuple

from lookalike.metadata import is_metadata

IMAGES = "images"
METADATA = "metadata"


class Place(NamedTuple):
    """Where an object belongs: `name` is an item's id, or a metadata file's name."""

    kind: Literal["image", "metadata"]
    name: str


def item_key(collection: str, item_id: str) -> str:
    """Key of an item's object."""
    return f"{collection}/{IMAGES}/{item_id}"


def metadata_key(collection: str, file: str) -> str:
    """Key of a metadata file."""
    return f"{collection}/{METADATA}/{file}"


def place_of(collection: str, key: str) -> Place | None:
    """What the object at `key` is to its collection; None: nothing.

    Hidden names (`.DS_Store`, a copy in progress) and the empty objects that S3 consoles make for folders are
    nothing, and so is a file below `metadata/` of a kind that is not read.
    """
    parts = key.split("/")
    if len(parts) < 3 or parts[0] != collection or any(not part or part[0] == "." for part in parts[2:]):
        return None
    name = "/".join(parts[2:])
    if parts[1] == IMAGES:
        return Place("image", name)
    return Place("metadata", name) if parts[1] == METADATA and is_metadata(name) else None
