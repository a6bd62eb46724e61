"""Intake: the files of a source become objects of the images root, each with the event that tells of it.

A file that is there already is not written again. In a folder that is judged as rsync does, by size and time
of change (a copy keeps the time of its original); on S3 as `aws s3 sync` does: same size, and uploaded after
the original last changed.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lookalike.errors import LookalikeError
from lookalike.storage import Store

WORKERS = 8
STAGING_FOLDER = ".staging"
LEFTOVER_SECONDS = 3_600
# Coarser than what file systems keep, and what an object's listing tells.
SAME_TIME_NANOSECONDS = 1_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One file after its intake: `written` tells whether it was new; `problem` why it could not be taken."""

    key: str
    written: bool = False
    problem: str | None = None


class Intake:
    """Takes files of one folder into one collection. Several processes may do so at once."""

    def __init__(self, images: Store, collection: str, folder: Path) -> None:
        self._images = images
        self._collection = collection
        self._folder = folder
        self._staging = images.local_path(f"{collection}/{STAGING_FOLDER}")
        if self._staging:
            _remove_leftovers(self._staging)
        self._uploaded = {} if self._staging else {info.path: info for info in images.list(collection)}
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="intake")

    def take(self, names: Sequence[str], below: str) -> list[Arrival]:
        """Copy files to `<collection>/<below>/<name>`, several at a time; one Arrival each, in order.

        Args:
            names: paths relative to the folder, with `/`.
            below: `images` or `metadata`.
        """
        return list(self._workers.map(lambda name: self._take(name, below), names))

    def close(self) -> None:
        """Stop, after what has been started; removes its own staging folder."""
        self._workers.shutdown(cancel_futures=True)
        if self._staging and self._staging.is_dir() and not any(self._staging.iterdir()):
            with suppress(OSError):  # another process has just put a file there
                self._staging.rmdir()

    def _take(self, name: str, below: str) -> Arrival:
        key = f"{self._collection}/{below}/{name}"
        file = self._folder / name
        try:
            target = self._images.local_path(key)
            written = self._copy(file, target) if target else self._upload(file, key)
        except (OSError, LookalikeError) as error:
            return Arrival(key, problem=str(error))
        return Arrival(key, written)

    def _copy(self, file: Path, target: Path) -> bool:
        status = file.stat()
        if _is_same(status, target):
            return False
        assert self._staging is not None
        self._staging.mkdir(parents=True, exist_ok=True)
        staged = self._staging / f"{uuid.uuid4().hex}.part"
        try:
            shutil.copyfile(file, staged)
            os.utime(staged, ns=(status.st_atime_ns, status.st_mtime_ns))
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(target)  # appears whole, whoever else copies the same file now
        finally:
            staged.unlink(missing_ok=True)
        return True

    def _upload(self, file: Path, key: str) -> bool:
        status = file.stat()
        there = self._uploaded.get(key)
        if there and there.size == status.st_size and there.modified.timestamp() >= status.st_mtime:
            return False
        self._images.put(key, file)
        return True


def _is_same(status: os.stat_result, target: Path) -> bool:
    try:
        there = target.stat()
    except FileNotFoundError:
        return False
    apart = abs(there.st_mtime_ns - status.st_mtime_ns)
    return there.st_size == status.st_size and apart < SAME_TIME_NANOSECONDS


def _remove_leftovers(staging: Path) -> None:
    """Files that a killed process left behind; a copy under way is never an hour old."""
    for file in staging.glob("*.part"):
        with suppress(FileNotFoundError):
            if time.time() - file.stat().st_ctime > LEFTOVER_SECONDS:
                file.unlink()
