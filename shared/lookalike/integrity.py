"""Checks that stored files are what was written: JSON documents with a checksum, other files by SHA-256.

Disks and copies can damage files without a message. Each of our documents has a `checksum` over all of its
other fields, and names the SHA-256 of each file that belongs to it. So a changed bit is an error and never a
wrong answer. Documents of earlier versions have no checksum; for these, an unknown field counts as damage,
because it may be a checksum whose name was damaged.
"""

from __future__ import annotations

import hashlib
import json
import types
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from lookalike.errors import Damaged, Incompatible, InvalidInput, LookalikeError

CHECKSUM = "checksum"
CHECKSUM_DIGITS = 32
MAX_INTEGER = 2**63
UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
    zipfile.BadZipFile,  # an .npz file is a zip file
    EOFError,
)
"""What parsing a damaged document can raise."""
T = TypeVar("T")


def load_json(text: bytes | str) -> Any:
    """The value of a JSON text. Raises ValueError, for text that is nested too deeply as well."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def seal(document: Mapping[str, Any]) -> bytes:
    """A document as it is stored, with its checksum."""
    return json.dumps({**document, CHECKSUM: _checksum(document)}, indent=1).encode()


def unseal(data: bytes, name: str, *, format: int, known: Collection[str], fix: str) -> dict[str, Any]:
    """The fields of a stored document, without the checksum.

    Args:
        data: its bytes.
        name: of the document, for messages.
        format: the only `format` that can be read.
        known: the names of its fields, `format` included.
        fix: what the user can do about damage.

    Raises:
        Damaged: it is no JSON object, or was changed after it was written.
        Incompatible: it has another format.
    """
    with reading(name, fix):
        found = load_json(data)
        if not isinstance(found, dict):
            raise TypeError(f"a {type(found).__name__}, not an object")
        checksum = found.pop(CHECKSUM, None)
        if checksum is not None and checksum != _checksum(found):
            raise ValueError("it was changed after it was written: its checksum does not match")
        if found["format"] != format:
            raise Incompatible(
                f"{name} has a format that this version cannot read", got=found["format"], expected=format
            )
        if checksum is None and (unknown := found.keys() - set(known)):
            raise ValueError(f"the unknown field {sorted(unknown)[0]!r}")
        return found


@contextmanager
def reading(name: str, fix: str, expected: str | None = None) -> Iterator[None]:
    """Convert errors of parsing the document `name` to Damaged, except for our own errors."""
    try:
        yield
    except UNREADABLE as error:
        if isinstance(error, LookalikeError) and not isinstance(error, InvalidInput):
            raise
        problem = str(error) if isinstance(error, ValueError | OverflowError) else repr(error)
        raise Damaged(
            f"{name} cannot be read: it is damaged", got=problem[:200], expected=expected, fix=fix
        ) from error


def convert(kind: Any, value: object, where: str = "") -> Any:
    """A JSON value as a value of type `kind`: a dataclass, or what its fields are made of.

    Args:
        kind: str, int, float, bool, None, Any, a Literal, a union, `tuple[T, ...]`, a mapping with text as
            keys, or a dataclass of these.
        value: as `json.loads` returns it.
        where: the field's name, for the message.

    Raises:
        ValueError: it has another type, or a field is missing or unknown.
    """
    origin, given = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        return _first(given, value, where)
    if origin is Literal and isinstance(value, str | int) and value in given:
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(convert(given[0], each, where) for each in value)
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        return {name: convert(given[1], each, f"{where}.{name}") for name, each in value.items()}
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        hints = _hints(kind)
        if unknown := value.keys() - hints.keys():
            raise ValueError(f"the unknown field {sorted(unknown)[0]!r}")
        return kind(**{name: convert(hints[name], each, name) for name, each in value.items()})
    if kind is Any or _is_plain(kind, value):
        return value
    raise ValueError(f"{where or 'the document'} is {repr(value)[:60]}")


def field_names(kind: type) -> frozenset[str]:
    """The names of a dataclass's fields."""
    return frozenset(field.name for field in fields(kind))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path, expected: str, owner: str, fix: str) -> None:
    """Compare a file with its SHA-256.

    Args:
        path: the file.
        expected: in hexadecimal.
        owner: what the file belongs to, for the message.
        fix: what the user can do about damage.

    Raises:
        Damaged: the content differs.
        FileNotFoundError: there is no such file.
    """
    found = file_sha256(path)
    if found != expected:
        raise Damaged(
            f"{path.name} cannot be read: it is damaged, and not the file of {owner}",
            got=f"SHA-256 {found}",
            expected=expected,
            fix=fix,
        )


def check_bytes(data: bytes, expected: str | None, path: str) -> None:
    """Compare the content of the object at `path` with its SHA-256; None: it has none.

    Raises:
        Damaged: the content differs.
    """
    found = hashlib.sha256(data).hexdigest()
    if expected is not None and found != expected:
        raise Damaged(f"{path} cannot be read: it is damaged", got=f"SHA-256 {found}", expected=expected)


def _checksum(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:CHECKSUM_DIGITS]


def _first(kinds: tuple[Any, ...], value: object, where: str) -> Any:
    problem = ValueError(f"{where or 'the document'} is {repr(value)[:60]}")
    for kind in kinds:
        try:
            return convert(kind, value, where)
        except ValueError as error:
            problem = error
    raise problem


def _is_plain(kind: Any, value: object) -> bool:
    if kind is type(None) or kind is None:
        return value is None
    if isinstance(value, bool):
        return kind is bool
    if kind is float and isinstance(value, float):
        return True
    if kind in {int, float} and isinstance(value, int):
        return abs(value) < MAX_INTEGER
    return kind is str and isinstance(value, str)


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
