"""Objects as the files of a folder.

obstore's own folder store is not used: it refuses names that end in `#<number>`, which people give to files.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from lookalike.errors import InvalidInput, ObjectNotFound, StoreUnavailable
from lookalike.layout import is_temporary, lock_name, normalise, other_spellings, temporary_name, text_problem
from lookalike.storage.objects import Blob, ObjectInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}
_UNSUITABLE = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}


class FolderFiles:
    """Reads and writes the files below `root`. Paths are checked by `Store`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # Reading

    @contextmanager
    def open(self, path: str) -> Iterator[tuple[IO[bytes], ObjectInfo]]:
        """The file at `path`, and its facts. Raises ObjectNotFound, StoreUnavailable."""
        with _errors(path), (self.root / path).open("rb") as file:
            yield file, _info(path, os.fstat(file.fileno()))

    def read(self, path: str) -> Blob:
        """The content at `path`. Raises as `open`."""
        with self.open(path) as (file, info):
            return Blob(file.read(), info.etag)

    def head(self, path: str) -> ObjectInfo:
        """Size, ETag and time of the file at `path`. Raises as `open`."""
        with _errors(path):
            file = self.root / path
            status = file.stat()
            if not file.is_file():
                raise ObjectNotFound("no object at this path", got=path)
            return _info(path, status)

    def list(self, prefix: str, skipped: Callable[[str], None]) -> Iterator[ObjectInfo]:
        """Files below the folder `prefix` in the order of their names.

        Locks and files that are still being written are left out; `skipped` is called with paths that no
        object can have.
        """
        for parent, folders, names in os.walk(self.root / prefix):
            folders[:] = sorted(name for name in folders if not is_temporary(name))
            for name in sorted(names):
                file = Path(parent) / name
                path = file.relative_to(self.root).as_posix()
                if is_temporary(name):
                    continue
                if text_problem(path):
                    skipped(path)
                    continue
                try:
                    status = file.stat()
                except OSError:
                    continue
                if not _is_old_lock(name, status):
                    yield _info(path, status)

    def list_folders(self, prefix: str) -> Sequence[str]:
        """Names of the folders directly below `prefix`, sorted."""
        try:
            with os.scandir(self.root / prefix) as entries:
                names = [entry.name for entry in entries if entry.is_dir()]
                return sorted(name for name in names if not text_problem(name))
        except (FileNotFoundError, NotADirectoryError):
            return []

    # Writing

    def put(self, path: str, data: bytes | Path) -> str:
        """Write the object at `path`; it appears whole or not at all. Returns the ETag."""
        with self._staged(path, data) as (staged, target, etag):
            staged.replace(target)
            return etag

    def create(self, path: str, data: bytes) -> bool:
        """Write the object at `path` unless there is one. Returns whether it was written."""
        with self._staged(path, data) as (staged, target, _):
            try:
                os.link(staged, target)
            except FileExistsError:
                return False
            return True

    @contextmanager
    def _staged(self, path: str, data: bytes | Path) -> Iterator[tuple[Path, Path, str]]:
        """The data in a file next to its target, the target, and the ETag."""
        target = self.root / path
        staged = target.with_name(temporary_name(uuid.uuid4().hex))
        with _errors(path, writing=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with staged.open("xb") as file:
                    if isinstance(data, Path):
                        with data.open("rb") as source:
                            shutil.copyfileobj(source, file)
                    else:
                        file.write(data)
                    file.flush()
                    etag = _info(path, os.fstat(file.fileno())).etag
                yield staged, target, etag
            finally:
                staged.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        """Remove the file at `path`. Raises ObjectNotFound."""
        with _errors(path):
            (self.root / path).unlink()

    # Names

    def other_spelling(self, path: str) -> str | None:
        """An existing file whose path is the same as `path` in NFC; None: there is none."""
        found = self.usual_spelling(path)
        if found is not None or path.isascii():
            return found
        folders = [""]
        for part in path.split("/"):
            wanted = normalise(part)
            folders = [
                f"{folder}{name}/"
                for folder in folders
                for name in self._names(folder)
                if normalise(name) == wanted
            ]
        files = (folder[:-1] for folder in folders)
        return next((file for file in files if file != path and (self.root / file).is_file()), None)

    def usual_spelling(self, path: str) -> str | None:
        """The same, without listing folders: only the spellings that file systems and tools write."""
        others = (other for other in other_spellings(path) if (self.root / other).is_file())
        with suppress(OSError):
            return next(others, None)
        return None

    def _names(self, folder: str) -> Sequence[str]:
        try:
            return sorted(file.name for file in (self.root / folder).iterdir())
        except OSError:
            return []


@contextmanager
def lock_file(target: Path, *, seconds: float = -1) -> Iterator[None]:
    """Hold an exclusive lock between processes of this machine. The lock file's name is hidden.

    It is released by the operating system when the process ends, however it ends.

    Raises:
        StoreUnavailable: not free within `seconds` (-1: no limit).
    """
    from filelock import FileLock, Timeout

    hidden = target.with_name(lock_name(target.name))
    hidden.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(hidden, timeout=seconds):
            yield
    except Timeout as error:
        raise StoreUnavailable(f"{target} is locked by another process") from error


def _info(path: str, status: os.stat_result) -> ObjectInfo:
    # ETags as obstore makes them: stores that exist keep theirs, and no image is encoded again.
    microseconds = status.st_mtime_ns // 1_000
    etag = f'"{status.st_ino:x}-{microseconds:x}-{status.st_size:x}"'
    return ObjectInfo(path, status.st_size, etag, EPOCH + timedelta(microseconds=microseconds))


def _is_old_lock(name: str, status: os.stat_result) -> bool:
    """Locks of earlier versions had plain names."""
    return name.endswith(".lock") and status.st_size == 0


@contextmanager
def _errors(path: str, *, writing: bool = False) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not writing and error.errno in _ABSENT:
            raise ObjectNotFound("no object at this path", got=path) from error
        if writing and error.errno in _UNSUITABLE:
            raise InvalidInput("the file system cannot hold such a name", got=repr(path)) from error
        raise StoreUnavailable(f"the store failed at {path}: {error}") from error
