"""What a store says of its objects, and obstore's errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lookalike.errors import InvalidInput, ObjectNotFound, StoreUnavailable


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing says of an object. `path` is relative to the store."""

    path: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Blob:
    """An object's bytes with the ETag that they had."""

    data: bytes
    etag: str


@contextmanager
def store_errors(path: str) -> Iterator[None]:
    """Translate obstore's exceptions into ours."""
    from obstore import exceptions

    try:
        yield
    except (exceptions.NotFoundError, FileNotFoundError) as error:
        raise ObjectNotFound("no object at this path", got=path) from error
    except (exceptions.NotModifiedError, exceptions.AlreadyExistsError, exceptions.PreconditionError):
        raise
    except (exceptions.InvalidPathError, ValueError) as error:
        raise InvalidInput(
            "the store cannot hold an object of this name",
            got=repr(path),
            expected="no control characters, no '..'",
        ) from error
    except exceptions.BaseError as error:
        raise StoreUnavailable(f"the store failed at {path}: {str(error)[:300]}") from error


def info_of(meta: Any) -> ObjectInfo:
    """What obstore says of an object, as ours."""
    return ObjectInfo(str(meta["path"]), int(meta["size"]), str(meta["e_tag"]), meta["last_modified"])


def check_name(path: str) -> None:
    """Refuse the empty name. Raises InvalidInput."""
    # obstore refuses the others; an empty one would be the prefix itself on S3.
    if not path.strip("/"):
        raise InvalidInput("an object needs a name", got=repr(path))
