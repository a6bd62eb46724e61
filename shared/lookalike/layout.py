"""The layout of the images root: makes, parses and checks object keys, collection names and item ids.

```
<collection>/images/<item id>                  an image
<collection>/metadata/<file>                   a metadata file: CSV, JSONL or Parquet
<collection>/metadata/uploads/<item id>.jsonl  the metadata that came with an upload, one file per item
<collection>/training/<training id>.zip        the images of a training
<collection>/.staging/                         files that are still being written
```

An item id is any Unicode text that is a relative path: no control characters, no empty, `.` or `..` part, no
part that starts with a dot, and an object key of at most 1,024 bytes of UTF-8. Ids are compared in Unicode
normalisation form C (NFC), because macOS writes file names in form D: `parse_key` gives the NFC id of a key
in any form. The object keeps its key; `Store.find` finds it by its id.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from itertools import islice, product
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from lookalike.errors import InvalidInput

IMAGES_FOLDER = "images"
METADATA_FOLDER = "metadata"
UPLOADS_FOLDER = "uploads"
TRAINING_FOLDER = "training"
STAGING_FOLDER = ".staging"
TEMPORARY_SUFFIX = ".part"
TRASH_FOLDER = "trash"
"""In the artifacts root: deleted images; see `lookalike.trash`."""
TRASH_DAYS = 30
"""How long they are kept there."""
METADATA_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

MAX_KEY_BYTES = 1_024
"""Amazon S3's limit."""
MAX_ID_BYTES = MAX_KEY_BYTES - len(f"c/{IMAGES_FOLDER}/")
"""The longest id, in a collection whose name has one letter."""
MAX_FILE_NAME_BYTES = 255
"""The limit of common file systems, for one part of a path."""
MAX_SPELLINGS = 16

_COLLECTION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TEMPORARY = re.compile(r"\.([0-9a-f]{32}\.part|.+\.lock)")


class ParsedKey(NamedTuple):
    """What an object key means. `name`: an item's id (in NFC), a metadata file's name or a training's id."""

    kind: Literal["image", "metadata", "training"]
    name: str


# Collections


def is_collection_name(name: str) -> bool:
    """Whether a collection can have this name."""
    return _COLLECTION.fullmatch(name) is not None


def check_collection_name(name: str) -> None:
    """Reject a name that cannot be a collection's. Raises InvalidInput."""
    if not is_collection_name(name):
        raise InvalidInput(
            "invalid collection name",
            got=repr(name),
            expected="1 to 63 lower-case letters, digits and hyphens, not starting with a hyphen",
        )


def collection_of(key: str) -> str:
    """The first part of an object key."""
    return key.partition("/")[0]


# Item ids


def normalise(text: str) -> str:
    """`text` in NFC, the form in which ids are compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def item_id_problem(item_id: str, collection: str = "c") -> str | None:
    """Why `item_id` cannot be the id of an item of `collection`; None: it can."""
    parts = item_id.split("/")
    if problem := text_problem(item_id):
        return problem
    if any(part in {"", ".", ".."} for part in parts):
        return "a part of its path is empty, '.' or '..'"
    if any(part.startswith(".") for part in parts):
        return "a part of its path is hidden: it starts with a dot"
    if len(f"{collection}/{IMAGES_FOLDER}/{normalise(item_id)}".encode()) > MAX_KEY_BYTES:
        return f"it is too long: its object key has more than {MAX_KEY_BYTES} bytes"
    return None


def text_problem(text: str) -> str | None:
    """Why `text` cannot be part of an object key or a file name; None: it can."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return "it is not UTF-8"
    return "it has control characters" if _CONTROL.search(text) else None


def check_item_id(item_id: str, collection: str = "c") -> str:
    """The id in NFC, if an item of `collection` can have it.

    Raises:
        InvalidInput: no item can have this id.
    """
    if problem := item_id_problem(item_id, collection):
        raise InvalidInput(
            f"this cannot be an item's id: {problem}",
            got=shown(item_id[:200]),
            expected="a relative path such as shoes/0001.jpg",
        )
    return normalise(item_id)


def check_file_names(item_id: str) -> None:
    """Reject an id with a part that no file can be named. Raises InvalidInput."""
    if any(len(part.encode()) > MAX_FILE_NAME_BYTES for part in item_id.split("/")):
        raise InvalidInput(
            "this cannot be an item's id: it is too long for a file name",
            got=shown(item_id[:200]),
            expected=f"at most {MAX_FILE_NAME_BYTES} bytes between two slashes",
        )


def shown(name: str) -> str:
    """A name for a message: what cannot be printed is escaped, bytes that are not UTF-8 as `\\xe9`."""
    if text_problem(name) != "it is not UTF-8":
        return repr(name)
    try:
        return f"'{name.encode('utf-8', 'surrogateescape').decode('utf-8', 'backslashreplace')}'"
    except UnicodeEncodeError:  # half a character, as JSON can spell it
        return ascii(name)


# Keys


def images_prefix(collection: str) -> str:
    """The folder of a collection's images."""
    return f"{collection}/{IMAGES_FOLDER}"


def metadata_prefix(collection: str) -> str:
    """The folder of a collection's metadata files."""
    return f"{collection}/{METADATA_FOLDER}"


def staging_prefix(collection: str) -> str:
    """The folder of files that are still being written: on the file system where they will be renamed to."""
    return f"{collection}/{STAGING_FOLDER}"


def image_key(collection: str, item_id: str) -> str:
    """Key of an item's image."""
    return f"{collection}/{IMAGES_FOLDER}/{normalise(item_id)}"


def metadata_key(collection: str, file: str) -> str:
    """Key of the metadata file `file`."""
    return f"{collection}/{METADATA_FOLDER}/{file}"


def upload_metadata_key(collection: str, item_id: str) -> str:
    """Key of the metadata that came with an item's upload.

    An id that leaves no room for the folder and the suffix is replaced by its SHA-256.
    """
    name = f"{normalise(item_id)}.jsonl"
    key = metadata_key(collection, f"{UPLOADS_FOLDER}/{name}")
    last = name.rpartition("/")[2]
    if len(key.encode()) <= MAX_KEY_BYTES and len(last.encode()) <= MAX_FILE_NAME_BYTES:
        return key
    digest = hashlib.sha256(normalise(item_id).encode()).hexdigest()
    return metadata_key(collection, f"{UPLOADS_FOLDER}/{digest}.jsonl")


def is_upload_metadata(file: str) -> bool:
    """Whether the metadata file `file` came with an upload, so that it names its item exactly."""
    return file.startswith(f"{UPLOADS_FOLDER}/")


def zip_key(collection: str, training_id: str) -> str:
    """Key of a training's zip file."""
    return f"{collection}/{TRAINING_FOLDER}/{training_id}.zip"


def is_metadata(name: str) -> bool:
    """Whether a file of this name is read as metadata."""
    return PurePosixPath(name).suffix.lower() in METADATA_SUFFIXES


def parse_key(collection: str, key: str) -> ParsedKey | None:
    """What the object at `key` is to `collection`; None: nothing.

    Keys that no item can have are nothing: see `key_problem`. So are hidden names (`.DS_Store`, a copy in
    progress), the empty objects that S3 consoles make for folders, and files below `metadata/` that are not
    read.
    """
    parts = key.split("/", 2)
    if len(parts) < 3 or parts[0] != collection or item_id_problem(parts[2], collection):
        return None
    folder, name = parts[1:]
    if folder == IMAGES_FOLDER:
        return ParsedKey("image", normalise(name))
    if folder == METADATA_FOLDER and is_metadata(name):
        return ParsedKey("metadata", name)
    if folder == TRAINING_FOLDER and name.endswith(".zip") and "/" not in name:
        return ParsedKey("training", name.removesuffix(".zip"))
    return None


def is_ingested(key: str) -> bool:
    """Whether the object at `key` is an image or a metadata file of a collection."""
    parsed = parse_key(collection_of(key), key)
    return parsed is not None and parsed.kind != "training"


def is_image_key(key: str) -> bool:
    """Whether an object key is below the folder of its collection's images."""
    return key.split("/", 2)[1:2] == [IMAGES_FOLDER]


def key_of(collection: str, parsed: ParsedKey) -> str:
    """Inverse of `parse_key`; an image's key is in NFC."""
    make = {"image": image_key, "metadata": metadata_key, "training": zip_key}[parsed.kind]
    return make(collection, parsed.name)


def key_problem(key: str) -> str | None:
    """Why the object at `key`, below `images/`, cannot be an item; None: it can, or is not meant to be one.

    Hidden files and the empty objects that stand for folders are left out without a message.
    """
    parts = key.split("/", 2)
    if len(parts) < 3 or parts[1] != IMAGES_FOLDER or key.endswith("/"):
        return None
    if any(part.startswith(".") and part not in {".", ".."} for part in parts[2].split("/")):
        return None
    return item_id_problem(parts[2], parts[0])


def other_spellings(path: str) -> list[str]:
    """Paths that are the same in NFC, each part in form C or D; the few that file systems and tools write."""
    if path.isascii():
        return []
    forms = [
        dict.fromkeys((unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part)))
        for part in path.split("/")
    ]
    spelled = ("/".join(parts) for parts in product(*forms))
    return [other for other in islice(spelled, MAX_SPELLINGS) if other != path]


# Files of our own


def temporary_name(token: str) -> str:
    """Name of a file that is still being written. `token`: 32 hexadecimal digits."""
    return f".{token}{TEMPORARY_SUFFIX}"


def lock_name(name: str) -> str:
    """Name of the lock file `name`: hidden, so that no image has it."""
    return name if name.startswith(".") else f".{name}"


def is_temporary(name: str) -> bool:
    """Whether a file of this name is a lock, or is still being written."""
    return name == STAGING_FOLDER or _TEMPORARY.fullmatch(name) is not None
