"""Facts about objects, the paths that a store accepts, and obstore's errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lookalike.errors import InvalidInput, ObjectNotFound, StoreUnavailable
from lookalike.layout import shown, text_problem


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Facts of one object. `path` is relative to the store."""

    path: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Blob:
    """An object's bytes and their ETag."""

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
    """obstore's facts of an object, as ours."""
    return ObjectInfo(str(meta["path"]), int(meta["size"]), str(meta["e_tag"]), meta["last_modified"])


def checked(path: str) -> str:
    """`path` without slashes at its ends. Raises InvalidInput: no object can have it."""
    trimmed = path.strip("/")
    if text_problem(trimmed) or (trimmed and {"", ".", ".."} & set(trimmed.split("/"))):
        raise InvalidInput(
            "the store cannot hold an object of this name",
            got=shown(path),
            expected="no control characters, no empty part, no '.' and no '..'",
        )
    return trimmed


def checked_name(path: str) -> str:
    """The same for one object, whose path is not empty. Raises InvalidInput."""
    trimmed = checked(path)
    if not trimmed:
        raise InvalidInput("an object needs a name", got=repr(path))
    return trimmed
