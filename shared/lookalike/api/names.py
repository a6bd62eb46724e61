"""Names that become paths: what an item may be called, and what the picture behind it may be."""

from __future__ import annotations

from lookalike.errors import InvalidInput

MAX_KEY_BYTES = 1_024  # of Amazon S3, prefix and collection included
MAX_ID_BYTES = 900  # of what is uploaded through the API: its metadata has a longer key
MAX_PART_BYTES = 240  # file names end at 255 bytes on common file systems; a staged upload adds a suffix
IMAGES_FOLDER = "images"
METADATA_FOLDER = "metadata/uploads"
TRAINING_FOLDER = "training"  # of a collection: zip files to train on
STAGING_FOLDER = ".staging"  # of a collection: files under way, on the same file system as their target
STAGING_SUFFIX = ".part"  # no listing shows them


def check_item_id(item_id: str) -> str:
    """The id itself, when it is safe as a path below `images/` in a folder, on S3 and in a URL.

    Raises:
        InvalidInput: it is empty, too long, climbs out of its folder or cannot be spelled.
    """
    parts = item_id.split("/")
    problem = None
    if not item_id.isprintable() or "\\" in item_id:
        problem = "it has characters that a path cannot carry"
    elif any(part in {"", ".", ".."} for part in parts):
        problem = "a part of its path is empty, '.' or '..'"
    elif any(part.startswith(".") for part in parts):
        problem = "a part of its path is hidden: it starts with a dot"
    elif any(part != part.strip() for part in parts):
        problem = "a part of its path starts or ends with a space"
    elif len(item_id.encode()) > MAX_ID_BYTES or any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        problem = "it is too long"
    elif _is_reserved(parts[-1]):
        problem = "its ending is reserved for files under way"
    if problem:
        raise InvalidInput(
            f"this cannot be an item's id: {problem}",
            got=repr(item_id[:200]),
            expected="a relative path such as shoes/0001.jpg",
        )
    return item_id


def check_stored_id(item_id: str) -> str:
    """The id itself, when a bucket may hold an item of this id: whoever puts objects there names them.

    Raises:
        InvalidInput: ingest would not take it for an item.
    """
    if len(item_id.encode()) > MAX_KEY_BYTES or any(part[:1] in {"", "."} for part in item_id.split("/")):
        raise InvalidInput(
            "this cannot be an item's id", got=repr(item_id[:200]), expected="a path such as shoes/0001.jpg"
        )
    return item_id


def image_key(collection: str, item_id: str) -> str:
    """Where an item's picture is in the images root."""
    return f"{collection}/{IMAGES_FOLDER}/{item_id}"


def metadata_key(collection: str, item_id: str) -> str:
    """Where the metadata that came with an item's upload is in the images root: one file an item."""
    return f"{collection}/{METADATA_FOLDER}/{item_id}.jsonl"


def media_type(head: bytes) -> str | None:
    """Media type by the first bytes of a file; None when it is no picture that a browser may be given."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:12] in {b"ftypavif", b"ftypavis"}:
        return "image/avif"
    return None


_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)


def _is_reserved(name: str) -> bool:
    """Names that a folder store gives to files under way and to locks; it hides them from listings."""
    _, mark, number = name.rpartition("#")
    return bool(mark and number.isdigit()) or name.endswith((".part", ".lock"))
