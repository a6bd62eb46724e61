"""What obstore lacks on a folder: a listing that survives any file name, and a lock between processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lookalike.errors import StoreUnavailable
from lookalike.storage.objects import ObjectInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def list_files(folder: Path, prefix: str) -> Iterator[ObjectInfo]:
    """Files below `folder`/`prefix` in the order of their names; skips those that obstore cannot spell."""
    for parent, folders, names in os.walk(folder / prefix):
        folders.sort()
        for name in sorted(names):
            file = Path(parent) / name
            path = file.relative_to(folder).as_posix()
            if _is_staging(name) or not _is_spellable(path):
                continue
            try:
                status = file.stat()
            except FileNotFoundError:
                continue
            # As obstore gives them, so that a listing and a read can be compared.
            microseconds = status.st_mtime_ns // 1_000
            etag = f'"{status.st_ino:x}-{microseconds:x}-{status.st_size:x}"'
            modified = EPOCH + timedelta(microseconds=microseconds)
            yield ObjectInfo(path, status.st_size, etag, modified)


@contextmanager
def lock_file(target: Path, *, seconds: float = -1) -> Iterator[None]:
    """Hold an exclusive lock between processes of this machine.

    It is released by the operating system when the process ends, however it ends.

    Raises:
        StoreUnavailable: not free within `seconds` (-1 waits for ever).
    """
    from filelock import FileLock, Timeout

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(target, timeout=seconds):
            yield
    except Timeout as error:
        raise StoreUnavailable(f"{target} is locked by another process") from error


def _is_staging(name: str) -> bool:
    """Files that a store writes beside the object before it renames them into place, and locks."""
    _, mark, number = name.rpartition("#")
    return bool(mark and number.isdigit()) or name.endswith((".part", ".lock"))


def _is_spellable(path: str) -> bool:
    return path.isprintable() and "//" not in path
