"""One object store by URL: a folder, or `s3://bucket/prefix`.

All data of lookalike goes through `Store`, so one machine and AWS differ only in a URL.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from lookalike.errors import InvalidInput, LookalikeError, ObjectNotFound
from lookalike.layout import other_spellings
from lookalike.storage.bucket import IDLE_SECONDS, S3_SCHEME, BucketObjects
from lookalike.storage.folder import FolderFiles, lock_file
from lookalike.storage.objects import Blob, ObjectInfo, checked, checked_name

if TYPE_CHECKING:
    from lookalike.settings import Settings

MAX_SAME_PATHS = 8
_Result = TypeVar("_Result")


def _ignore(_path: str) -> None:
    """The default for `skipped`."""


class Store:
    """Objects by path below one URL. Paths use `/`, have no empty, `.` or `..` part.

    Paths are compared in Unicode NFC: an operation on a path that does not exist uses the object whose path
    is the same in NFC, if there is one. So a file that macOS named in NFD is found by its NFC name. Reading
    and deleting find every spelling. Writing finds only the usual ones, so that it never lists a folder.

    Safe to share between threads; not between processes made by fork.
    """

    def __init__(self, url: str, *, s3_endpoint: str = "", s3_region: str = "us-east-1") -> None:
        self.url = url.rstrip("/")
        self._s3_endpoint = s3_endpoint
        self._s3_region = s3_region
        self.folder: Path | None = None
        self._files: FolderFiles | None = None
        self._bucket: BucketObjects | None = None
        if url.startswith(S3_SCHEME):
            self._bucket = BucketObjects(url.rstrip("/") if url != S3_SCHEME else url, s3_endpoint, s3_region)
        elif "://" in url:
            raise InvalidInput(
                "the store's URL has an unknown scheme", got=url, expected="a folder, or s3://bucket/prefix"
            )
        else:
            self.folder = Path(self.url).absolute()
            self._files = _opened(self.folder)

    @classmethod
    def images(cls, settings: Settings) -> Store:
        """The images root of `settings`."""
        return cls(settings.images_url, s3_endpoint=settings.s3_endpoint, s3_region=settings.s3_region)

    @classmethod
    def artifacts(cls, settings: Settings) -> Store:
        """The artifacts root of `settings`."""
        return cls(settings.artifacts_url, s3_endpoint=settings.s3_endpoint, s3_region=settings.s3_region)

    @property
    def _objects(self) -> FolderFiles | BucketObjects:
        found = self._files or self._bucket
        assert found is not None
        return found

    # Reading

    def get(self, path: str) -> Blob:
        """The object at `path`.

        Raises:
            ObjectNotFound: there is none.
            StoreUnavailable: the store did not answer; trying again may help.
        """
        found = self._on_existing(path, self._objects.read)
        assert found is not None
        return found

    def get_limited(self, path: str, max_bytes: int, *, version: str | None = None) -> Blob | None:
        """The object at `path`, or None if it is larger than `max_bytes` (then it is not read).

        Args:
            path: of the object.
            max_bytes: the largest size to read.
            version: of the object, in a versioned bucket; None: the newest.
        """

        def read(path: str) -> Blob | None:
            if self._bucket:
                return self._bucket.read(path, max_bytes=max_bytes, version=version)
            assert self._files is not None
            with self._files.open(path) as (file, info):
                return None if info.size > max_bytes else Blob(file.read(), info.etag)

        return read(checked_name(path)) if version else self._on_existing(path, read)

    def get_if_changed(self, path: str, etag: str | None) -> Blob | None:
        """The object at `path`, or None while its ETag still is `etag`."""

        def read(path: str) -> Blob | None:
            if self._bucket:
                return self._bucket.read(path, unless_etag=etag)
            assert self._files is not None
            with self._files.open(path) as (file, info):
                return None if info.etag == etag else Blob(file.read(), info.etag)

        return self._on_existing(path, read)

    def head(self, path: str) -> ObjectInfo:
        """Path as stored, size, ETag and time of the object at `path`. Raises ObjectNotFound."""
        return self._on_existing(path, self._objects.head)

    def exists(self, path: str) -> bool:
        """Whether there is an object at `path`."""
        return self.find(path) is not None

    def find(self, path: str) -> str | None:
        """The path of the object as it is stored; None: there is no object at `path`, in any spelling."""
        try:
            return self.head(path).path
        except ObjectNotFound:
            return None

    def list(self, prefix: str = "", *, skipped: Callable[[str], None] = _ignore) -> Iterator[ObjectInfo]:
        """Objects whose path starts with the folder `prefix`, streamed; the order is the store's own.

        `skipped` is called with each path that no object can have, and with nothing else.
        """
        yield from self._objects.list(checked(prefix), skipped)

    def list_folders(self, prefix: str = "") -> Sequence[str]:
        """Names of the folders directly below `prefix`, sorted."""
        return self._objects.list_folders(checked(prefix))

    # Writing

    def put(self, path: str, data: bytes | Path) -> str:
        """Write `data` (bytes, or a file's content) to `path`, replacing what was there. Returns the ETag.

        Raises:
            InvalidInput: no object can have this name.
            StoreUnavailable: nothing was written; trying again may help.
        """
        return self._objects.put(self._to_write(path), data)

    def create(self, path: str, data: bytes) -> bool:
        """Write `data` to `path` if nothing is there. False: there was an object, nothing was written."""
        return self._objects.create(self._to_write(path), data)

    def replace(self, path: str, data: bytes, *, etag: str | None) -> bool:
        """Compare-and-swap: write only if the object still has `etag` (None: still is absent).

        False: it changed since, nothing was written.
        """
        if etag is None:
            return self.create(path, data)
        if self._bucket:
            return self._bucket.replace(self._to_write(path), data, etag)
        with self.lock(f"{path}.lock"):
            try:
                if self.head(path).etag != etag:
                    return False
            except ObjectNotFound:
                return False
            self.put(path, data)
            return True

    def delete(self, path: str) -> None:
        """Remove the object at `path`, in every spelling; nothing happens if there is none."""
        path = checked_name(path)
        for _ in range(MAX_SAME_PATHS):
            with suppress(ObjectNotFound):
                self._objects.delete(path)
            other = self._objects.other_spelling(path)
            if other is None:
                return
            path = other

    def delete_folder(self, prefix: str) -> None:
        """Remove every object below the folder `prefix`, and what a listing does not show: locks, staging."""
        for info in list(self.list(prefix)):
            self._objects.delete(info.path)
        if self.folder is not None and prefix.strip("/"):
            shutil.rmtree(self.folder / prefix, ignore_errors=True)

    def download(self, path: str, target: Path) -> None:
        """Copy the object at `path` to the file `target`, streamed; the file appears whole or not at all."""
        staged = target.with_name(f"{target.name}.{os.getpid()}.part")

        def copy(path: str) -> None:
            with staged.open("wb") as file:
                if self._bucket:
                    self._bucket.download(path, file.write)
                    return
                assert self._files is not None
                with self._files.open(path) as (source, _):
                    shutil.copyfileobj(source, file)

        self._on_existing(path, copy)
        staged.replace(target)

    # Names

    def _on_existing(self, path: str, act: Callable[[str], _Result]) -> _Result:
        """`act` on the path, else on the path as it is stored. Raises ObjectNotFound."""
        path = checked_name(path)
        try:
            return act(path)
        except ObjectNotFound:
            other = self._objects.other_spelling(path)
            if other is None:
                raise
            return act(other)

    def _to_write(self, path: str) -> str:
        """Where to write: to the object that is there, else to `path` as it is given."""
        path = checked_name(path)
        if not other_spellings(path):
            return path
        try:
            return self._objects.head(path).path
        except LookalikeError:
            return self._objects.usual_spelling(path) or path

    def local_path(self, path: str) -> Path | None:
        """The file behind `path`, when the store is a folder: the one that is there, or the one to write."""
        return None if self.folder is None else self.folder / (path and self._to_write(path))

    def sign(self, method: Literal["GET", "PUT"], path: str, seconds: int) -> str:
        """A URL that lets anyone GET or PUT `path` for `seconds`. On S3 only."""
        if self._bucket is None:
            raise InvalidInput("a folder store cannot sign URLs", got=self.url)
        path = checked_name(path)
        if method == "PUT":
            path = self._to_write(path)
        elif not path.isascii():
            with suppress(LookalikeError):  # the URL then returns what S3 answers for this path
                path = self.head(path).path
        return self._bucket.sign(method, path, seconds)

    @property
    def can_sign(self) -> bool:
        """Whether `sign` works: on S3."""
        return self.folder is None

    def lance_uri(self, path: str) -> str:
        """The URI of the Lance table at `path`."""
        return f"{self.url}/{path}" if self.folder is None else str(self.folder / path)

    def lance_options(self) -> dict[str, str] | None:
        """Storage options with which Lance reaches the same place."""
        if self.folder is not None:
            return None
        options = {"aws_region": self._s3_region, "pool_idle_timeout": f"{IDLE_SECONDS:.0f} seconds"}
        if self._s3_endpoint:
            options["aws_endpoint"] = self._s3_endpoint
            options["allow_http"] = str(self._s3_endpoint.startswith("http://")).lower()
        return options

    @contextmanager
    def lock(self, path: str, *, seconds: float = -1) -> Iterator[None]:
        """Hold an exclusive lock between processes of this machine; only for a store that is a folder.

        It is released by the operating system when the process ends, however it ends.

        Raises:
            StoreUnavailable: not free within `seconds` (-1: no limit).
        """
        if self.folder is None:
            yield
            return
        with lock_file(self.folder / path, seconds=seconds):
            yield


def _opened(folder: Path) -> FolderFiles:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            "the store's folder cannot be made", got=folder, fix="Name a folder that you may write to."
        ) from error
    return FolderFiles(folder)
