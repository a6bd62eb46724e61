"""Writes an upload to a file, so that readers see all of it or nothing."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from starlette.concurrency import run_in_threadpool

from lookalike.errors import Conflict, InvalidInput, StoreUnavailable
from lookalike.layout import temporary_name

CREATE_ATTEMPTS = 10


async def receive_file(target: Path, staging: Path, chunks: AsyncIterator[bytes]) -> int:
    """Write `chunks` to a file in the folder `staging`; rename it to `target` once it is complete and synced.

    Returns:
        The size of the file in bytes.

    Raises:
        Conflict: a folder has that name, or a file has the name of one of its folders.
        InvalidInput: the file system does not support such a name.
        StoreUnavailable: the disk is full or fails.
    """
    staged = staging / temporary_name(secrets.token_hex(16))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            count = 0
            with _created(staged) as file:
                async for chunk in chunks:
                    count += len(chunk)
                    file.write(chunk)
                await run_in_threadpool(_sync, file)
            await run_in_threadpool(staged.replace, target)
        finally:
            staged.unlink(missing_ok=True)
    except OSError as error:
        raise _translated(error, target) from error
    return count


def _created(file: Path) -> IO[bytes]:
    for _ in range(CREATE_ATTEMPTS):
        file.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another upload has just removed the empty folder
            return file.open("xb")
    raise FileNotFoundError(errno.ENOENT, "the staging folder keeps disappearing", str(file.parent))


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _translated(error: OSError, target: Path) -> Exception:
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        return Conflict(
            "a file has the name of a folder, or a folder the name of a file",
            got=target.name,
            fix="Choose another name.",
        )
    if error.errno in {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}:
        return InvalidInput("the file system does not support such a name", got=repr(target.name))
    return StoreUnavailable(f"the upload could not be written: {error.strerror}")
