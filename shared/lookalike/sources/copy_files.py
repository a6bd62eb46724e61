"""Intake: copies the files of a source into the images root.

A file that was copied before is not written again. A folder store compares size and modification time, as
rsync does (a copy keeps the time of its original). S3 compares as `aws s3 sync` does: same size, and uploaded
after the original last changed.
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
from lookalike.layout import IMAGES_FOLDER, image_key, metadata_key, normalise, staging_prefix, temporary_name
from lookalike.storage import Store

WORKERS = 8
LEFTOVER_SECONDS = 3_600
# Coarser than the times that file systems and listings keep.
SAME_TIME_NANOSECONDS = 1_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One file after its intake. `written`: whether it was new; `problem`: why it could not be copied."""

    key: str
    written: bool = False
    problem: str | None = None


class Intake:
    """Copies files of one folder into one collection, below `category` if given. Several may run at once."""

    def __init__(self, images: Store, collection: str, folder: Path, *, category: str | None = None) -> None:
        self._images = images
        self._collection = collection
        self._folder = folder
        self._category = category
        self._staging = images.local_path(staging_prefix(collection))
        if self._staging:
            _remove_leftovers(self._staging)
        # By NFC: an object in another spelling is the same object.
        self._uploaded = (
            {} if self._staging else {normalise(info.path): info for info in images.list(collection)}
        )
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
        key = self._key(name, below)
        file = self._folder / name
        try:
            target = self._images.local_path(key)
            written = self._copy(file, target) if target else self._upload(file, key)
        except (OSError, LookalikeError) as error:
            return Arrival(key, problem=str(error))
        return Arrival(key, written)

    def _key(self, name: str, below: str) -> str:
        if below != IMAGES_FOLDER:
            return metadata_key(self._collection, name)
        return image_key(self._collection, f"{self._category}/{name}" if self._category else name)

    def _copy(self, file: Path, target: Path) -> bool:
        status = file.stat()
        if _is_same(status, target):
            return False
        assert self._staging is not None
        self._staging.mkdir(parents=True, exist_ok=True)
        staged = self._staging / temporary_name(uuid.uuid4().hex)
        try:
            shutil.copyfile(file, staged)
            os.utime(staged, ns=(status.st_atime_ns, status.st_mtime_ns))
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(target)  # appears complete, even if another process copies the same file now
        finally:
            staged.unlink(missing_ok=True)
        return True

    def _upload(self, file: Path, key: str) -> bool:
        status = file.stat()
        there = self._uploaded.get(normalise(key))
        if there and there.size == status.st_size and there.modified.timestamp() >= status.st_mtime:
            return False
        self._images.put(key, file)
        return True


def _is_same(status: os.stat_result, target: Path) -> bool:
    try:
        there = target.stat()
    except FileNotFoundError:
        return False
    difference = abs(there.st_mtime_ns - status.st_mtime_ns)
    return there.st_size == status.st_size and difference < SAME_TIME_NANOSECONDS


def _remove_leftovers(staging: Path) -> None:
    """Remove files that a killed process left; no copy takes an hour."""
    for file in staging.glob("*.part"):
        with suppress(FileNotFoundError):
            if time.time() - file.stat().st_ctime > LEFTOVER_SECONDS:
                file.unlink()
