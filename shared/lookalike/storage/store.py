"""One object store by URL: a folder, or `s3://bucket/prefix`.

Everything that lookalike keeps goes through `Store`, so that one machine and AWS differ in a URL only.
Built on obstore (https://developmentseed.org/obstore); a folder adds what obstore lacks there: a
compare-and-swap under a file lock, and a listing that survives names which obstore cannot spell.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lookalike.errors import InvalidInput, ObjectNotFound
from lookalike.storage.folder import list_files, lock_file
from lookalike.storage.objects import Blob, ObjectInfo, check_name, info_of, store_errors

if TYPE_CHECKING:
    from lookalike.settings import Settings

S3_SCHEME = "s3://"
STREAM_CHUNK_BYTES = 8 * 1024 * 1024


class Store:
    """Objects by path below one URL. Paths use `/`, have no empty, `.` or `..` part.

    Safe to share between threads; not between processes made by fork.
    """

    def __init__(self, url: str, *, s3_endpoint: str = "", s3_region: str = "us-east-1") -> None:
        self.url = url.rstrip("/")
        self._s3_endpoint = s3_endpoint
        self._s3_region = s3_region
        self.folder: Path | None = None
        if url.startswith(S3_SCHEME):
            self._store: Any = self._open_s3()
        elif "://" in url:
            raise InvalidInput(
                "the store's URL has an unknown scheme", got=url, expected="a folder, or s3://bucket/prefix"
            )
        else:
            self.folder = Path(self.url).absolute()
            self._store = self._open_folder(self.folder)

    @classmethod
    def images(cls, settings: Settings) -> Store:
        """The images root of `settings`."""
        return cls(settings.images_url, s3_endpoint=settings.s3_endpoint, s3_region=settings.s3_region)

    @classmethod
    def artifacts(cls, settings: Settings) -> Store:
        """The artifacts root of `settings`."""
        return cls(settings.artifacts_url, s3_endpoint=settings.s3_endpoint, s3_region=settings.s3_region)

    def _open_folder(self, folder: Path) -> Any:  # obstore's classes are untyped here
        from obstore.store import LocalStore

        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(
                "the store's folder cannot be made", got=folder, fix="Name a folder that you may write to."
            ) from error
        return LocalStore(folder)

    def _open_s3(self) -> Any:
        from obstore.store import S3Store

        bucket, _, prefix = self.url.removeprefix("s3:").removeprefix("//").partition("/")
        if not bucket:
            raise InvalidInput("the store's URL names no bucket", got=self.url, expected="s3://bucket/prefix")
        options: dict[str, Any] = {"region": self._s3_region}
        if self._s3_endpoint:
            options["endpoint"] = self._s3_endpoint
            options["client_options"] = {"allow_http": self._s3_endpoint.startswith("http://")}
        return S3Store(
            bucket,
            prefix=prefix or None,
            retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=30)},
            **options,
        )

    # Reading

    def get(self, path: str) -> Blob:
        """The object at `path`.

        Raises:
            ObjectNotFound: there is none.
            StoreUnavailable: the store did not answer; trying again may help.
        """
        import obstore

        with store_errors(path):
            found = obstore.get(self._store, path)
            return Blob(bytes(found.bytes()), str(found.meta["e_tag"]))

    def get_limited(self, path: str, max_bytes: int, *, version: str | None = None) -> Blob | None:
        """The object at `path`, or None if it is larger than `max_bytes` (which then is not read).

        Args:
            path: of the object.
            max_bytes: what the caller can take.
            version: which version of it, in a versioned bucket; None: the present one.
        """
        import obstore

        options: Any = {"version": version} if version else {}
        with store_errors(path):
            found = obstore.get(self._store, path, options=options)
            if found.meta["size"] > max_bytes:
                return None
            return Blob(bytes(found.bytes()), str(found.meta["e_tag"]))

    def get_if_changed(self, path: str, etag: str | None) -> Blob | None:
        """The object at `path`, or None while its ETag still is `etag`."""
        import obstore
        from obstore.exceptions import NotModifiedError

        options: Any = {"if_none_match": etag} if etag else {}
        try:
            with store_errors(path):
                found = obstore.get(self._store, path, options=options)
                return Blob(bytes(found.bytes()), str(found.meta["e_tag"]))
        except NotModifiedError:
            return None

    def head(self, path: str) -> ObjectInfo:
        """Size, ETag and time of the object at `path`. Raises ObjectNotFound."""
        import obstore

        with store_errors(path):
            return info_of(obstore.head(self._store, path))

    def exists(self, path: str) -> bool:
        """Whether there is an object at `path`."""
        try:
            self.head(path)
        except ObjectNotFound:
            return False
        return True

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects whose path starts with the folder `prefix`, streamed; the order is the store's own."""
        import obstore

        if self.folder is not None:
            yield from list_files(self.folder, prefix)
            return
        with store_errors(prefix):
            for chunk in obstore.list(self._store, prefix=prefix.rstrip("/") or None, chunk_size=1_000):
                yield from (info_of(meta) for meta in chunk)

    def list_folders(self, prefix: str = "") -> Sequence[str]:
        """Names of the folders directly below `prefix`, sorted."""
        import obstore

        with store_errors(prefix):
            found = obstore.list_with_delimiter(self._store, prefix=prefix.rstrip("/") or None)
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in found["common_prefixes"])

    # Writing

    def put(self, path: str, data: bytes | Path) -> str:
        """Write `data` (bytes, or a file's content) to `path`, replacing what was there. Returns the ETag.

        Raises:
            InvalidInput: no object can have this name.
            StoreUnavailable: nothing was written; trying again may help.
        """
        import obstore

        check_name(path)
        with store_errors(path):
            return str(obstore.put(self._store, path, data)["e_tag"])

    def create(self, path: str, data: bytes) -> bool:
        """Write `data` to `path` if nothing is there. False: somebody was first, nothing was written."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        check_name(path)
        try:
            with store_errors(path):
                obstore.put(self._store, path, data, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def replace(self, path: str, data: bytes, *, etag: str | None) -> bool:
        """Compare-and-swap: write only if the object still has `etag` (None: still is absent).

        False: it changed since, nothing was written.
        """
        import obstore
        from obstore.exceptions import PreconditionError

        if etag is None:
            return self.create(path, data)
        if self.folder is not None:
            return self._replace_in_folder(path, data, etag)
        try:
            with store_errors(path):
                obstore.put(self._store, path, data, mode={"e_tag": etag})
        except (PreconditionError, ObjectNotFound):
            return False
        return True

    def _replace_in_folder(self, path: str, data: bytes, etag: str) -> bool:
        with self.lock(f"{path}.lock"):
            try:
                if self.head(path).etag != etag:
                    return False
            except ObjectNotFound:
                return False
            self.put(path, data)
            return True

    def delete(self, path: str) -> None:
        """Remove the object at `path`; nothing happens if there is none."""
        import obstore

        try:
            with store_errors(path):
                obstore.delete(self._store, path)
        except ObjectNotFound:
            return

    def delete_folder(self, prefix: str) -> None:
        """Remove every object below the folder `prefix`, and what a listing does not show: locks, staging."""
        for info in list(self.list(prefix)):
            self.delete(info.path)
        if self.folder is not None and prefix.strip("/"):
            shutil.rmtree(self.folder / prefix, ignore_errors=True)

    def download(self, path: str, target: Path) -> None:
        """Copy the object at `path` to the file `target`, streamed; the file appears whole or not at all."""
        import obstore

        staged = target.with_name(f"{target.name}.{os.getpid()}.part")
        with store_errors(path), staged.open("wb") as file:
            for chunk in obstore.get(self._store, path).stream(min_chunk_size=STREAM_CHUNK_BYTES):
                file.write(chunk)
        staged.replace(target)

    # Where things are

    def local_path(self, path: str) -> Path | None:
        """The file behind `path`, when the store is a folder."""
        return None if self.folder is None else self.folder / path

    def sign(self, method: Literal["GET", "PUT"], path: str, seconds: int) -> str:
        """A URL that lets anyone GET or PUT `path` for `seconds`. On S3 only."""
        import obstore

        with store_errors(path):
            return str(obstore.sign(self._store, method, path, timedelta(seconds=seconds)))

    @property
    def can_sign(self) -> bool:
        """Whether `sign` works: on S3."""
        return self.folder is None

    def lance_uri(self, path: str) -> str:
        """What Lance calls the table at `path`."""
        return f"{self.url}/{path}" if self.folder is None else str(self.folder / path)

    def lance_options(self) -> dict[str, str] | None:
        """Storage options with which Lance reaches the same place."""
        if self.folder is not None:
            return None
        options = {"aws_region": self._s3_region}
        if self._s3_endpoint:
            options["aws_endpoint"] = self._s3_endpoint
            options["allow_http"] = str(self._s3_endpoint.startswith("http://")).lower()
        return options

    @contextmanager
    def lock(self, path: str, *, seconds: float = -1) -> Iterator[None]:
        """Hold an exclusive lock between processes of this machine; only for a store that is a folder.

        It is released by the operating system when the process ends, however it ends.

        Raises:
            StoreUnavailable: not free within `seconds` (-1 waits for ever).
        """
        if self.folder is None:
            yield
            return
        with lock_file(self.folder / path, seconds=seconds):
            yield
