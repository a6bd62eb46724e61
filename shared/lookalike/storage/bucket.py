"""Objects of an S3 bucket, through obstore (https://developmentseed.org/obstore)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from random import uniform
from typing import Any, Literal

from lookalike.boto import boto_client
from lookalike.errors import InvalidInput, LookalikeError, ObjectNotFound, StoreUnavailable
from lookalike.layout import normalise, other_spellings
from lookalike.storage.objects import Blob, ObjectInfo, checked, info_of, store_errors

S3_SCHEME = "s3://"
STREAM_CHUNK_BYTES = 8 * 1024 * 1024
LISTED_SPELLINGS = 10_000
IDLE_SECONDS = 15.0
"""Connections idle for longer are not used again. S3 closes them; while a process is frozen, as between two
events of a function, it does not notice."""
ATTEMPTS = 5
RETRY_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.1


class BucketObjects:
    """Reads and writes the objects of `url`, `s3://bucket/prefix`. Paths are checked by `Store`."""

    def __init__(self, url: str, endpoint: str, region: str) -> None:
        from obstore.store import S3Store

        self._bucket, _, prefix = url.removeprefix(S3_SCHEME).partition("/")
        if not self._bucket:
            raise InvalidInput("the store's URL names no bucket", got=url, expected="s3://bucket/prefix")
        self._prefix = f"{prefix}/" if prefix else ""
        self._client_options = {"endpoint_url": endpoint or None, "region_name": region}
        client: dict[str, Any] = {"pool_idle_timeout": timedelta(seconds=IDLE_SECONDS)}
        options: dict[str, Any] = {"region": region, "prefix": prefix or None, "client_options": client}
        if endpoint:
            options["endpoint"] = endpoint
            client["allow_http"] = endpoint.startswith("http://")
        retries: Any = {"max_retries": ATTEMPTS, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
        self._store: Any = S3Store(self._bucket, retry_config=retries, **options)
        self._options = options

    @cached_property
    def _without_retries(self) -> Any:
        """For writes under a condition: after a lost answer, a blind retry fails its own condition."""
        from obstore.store import S3Store

        return S3Store(self._bucket, retry_config={"max_retries": 0}, **self._options)

    # Reading

    def read(
        self,
        path: str,
        *,
        max_bytes: int | None = None,
        version: str | None = None,
        unless_etag: str | None = None,
    ) -> Blob | None:
        """The object at `path`; None if it has more than `max_bytes`, or still has the ETag `unless_etag`.

        Raises:
            ObjectNotFound, StoreUnavailable.
        """
        import obstore
        from obstore.exceptions import NotModifiedError

        given = {"version": version, "if_none_match": unless_etag}
        options: Any = {name: value for name, value in given.items() if value}
        try:
            with store_errors(path):
                found = obstore.get(self._store, path, options=options)
                if max_bytes is not None and found.meta["size"] > max_bytes:
                    return None
                return Blob(bytes(found.bytes()), str(found.meta["e_tag"]))
        except NotModifiedError:
            return None

    def download(self, path: str, write: Callable[[bytes], object]) -> None:
        """Pass the content at `path` to `write` in pieces. Raises ObjectNotFound, StoreUnavailable."""
        import obstore

        with store_errors(path):
            for chunk in obstore.get(self._store, path).stream(min_chunk_size=STREAM_CHUNK_BYTES):
                write(bytes(chunk))

    def head(self, path: str) -> ObjectInfo:
        """Size, ETag and time of the object at `path`. Raises ObjectNotFound, StoreUnavailable."""
        import obstore

        with store_errors(path):
            return info_of(obstore.head(self._store, path))

    def list(self, prefix: str, skipped: Callable[[str], None]) -> Iterator[ObjectInfo]:
        """Objects below the folder `prefix`; `skipped` is called with keys that `Store` does not take."""
        import obstore

        last = ""
        try:
            with store_errors(prefix):
                for chunk in obstore.list(self._store, prefix=prefix or None, chunk_size=1_000):
                    for meta in chunk:
                        last = str(meta["path"])
                        yield info_of(meta)
        except InvalidInput:
            # obstore ends a listing at the first key that it cannot spell, such as `a//b`.
            yield from self._list_any(prefix, last, skipped)

    def _list_any(self, prefix: str, after: str, skipped: Callable[[str], None]) -> Iterator[ObjectInfo]:
        client = boto_client("s3", **self._client_options)
        folder = self._prefix + (f"{prefix}/" if prefix else "")
        start = {"StartAfter": self._prefix + after} if after else {}
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=folder, **start)
        for page in pages:
            for entry in page.get("Contents", []):
                path = entry["Key"].removeprefix(self._prefix)
                try:
                    is_plain = checked(path) == path
                except InvalidInput:
                    is_plain = False
                if is_plain:
                    yield ObjectInfo(path, entry["Size"], entry["ETag"], entry["LastModified"])
                else:
                    skipped(path)

    def list_folders(self, prefix: str) -> Sequence[str]:
        """Names of the folders directly below `prefix`, sorted."""
        import obstore

        with store_errors(prefix):
            found = obstore.list_with_delimiter(self._store, prefix=prefix or None)
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in found["common_prefixes"])

    # Writing

    def put(self, path: str, data: bytes | Path) -> str:
        """Write the object at `path`. Returns the ETag."""
        import obstore

        with store_errors(path):
            return str(obstore.put(self._store, path, data)["e_tag"])

    def create(self, path: str, data: bytes) -> bool:
        """Write the object at `path` unless there is one. Returns whether it was written."""
        return self._put_if(path, data, "create")

    def replace(self, path: str, data: bytes, etag: str) -> bool:
        """Write the object at `path` if it has this ETag. Returns whether it was written."""
        return self._put_if(path, data, {"e_tag": etag})

    def _put_if(self, path: str, data: bytes, mode: Any) -> bool:
        """Write under a condition, and try again if that fails. Returns whether it was written."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError

        began = time.monotonic()
        for attempt in range(1, ATTEMPTS + 1):
            is_last = attempt == ATTEMPTS or time.monotonic() - began > RETRY_SECONDS
            try:
                with store_errors(path):
                    obstore.put(self._without_retries, path, data, mode=mode)
                return True
            except (AlreadyExistsError, PreconditionError, ObjectNotFound) as error:
                is_busy = isinstance(error, AlreadyExistsError) and mode != "create"
                if is_last or not is_busy:
                    # The answer to an earlier attempt may have been lost after S3 had written the object.
                    return attempt > 1 and self._has(path, data)
            except StoreUnavailable as error:
                if is_last or not isinstance(error.__cause__, GenericError):
                    raise
            time.sleep(uniform(0.5, 1) * FIRST_PAUSE_SECONDS * 2**attempt)  # noqa: S311 - no secret
        raise AssertionError("unreachable")

    def _has(self, path: str, data: bytes) -> bool:
        try:
            blob = self.read(path)
        except ObjectNotFound:
            return False
        return blob is not None and blob.data == data

    def delete(self, path: str) -> None:
        """Remove the object at `path`; S3 does not report whether there was one."""
        import obstore
        from obstore.exceptions import GenericError

        with store_errors(path):
            try:
                obstore.delete(self._store, path)
            except GenericError:  # obstore sends a POST, which it does not repeat if the connection breaks
                obstore.delete(self._store, path)

    def sign(self, method: Literal["GET", "PUT"], path: str, seconds: int) -> str:
        """A URL that lets anyone GET or PUT `path` for `seconds`."""
        import obstore

        with store_errors(path):
            return str(obstore.sign(self._store, method, path, timedelta(seconds=seconds)))

    # Names

    def other_spelling(self, path: str) -> str | None:
        """An existing object whose path is the same as `path` in NFC; None: there is none.

        The listing starts at the part of the name that every spelling shares, and ends after
        `LISTED_SPELLINGS` objects.
        """
        import obstore

        found = self.usual_spelling(path)
        if found is not None or path.isascii():
            return found
        shared = "".join(takewhile(str.isascii, normalise(path)))
        folder, _, start = shared.rpartition("/")
        wanted, seen = normalise(path), 0
        with suppress(LookalikeError), store_errors(path):
            options: Any = {"offset": shared} if start else {}
            for chunk in obstore.list(self._store, prefix=folder or None, chunk_size=1_000, **options):
                for meta in chunk:
                    key = str(meta["path"])
                    if normalise(key) == wanted and key != path:
                        return key
                    if not key.startswith(shared):
                        return None
                seen += len(chunk)
                if seen >= LISTED_SPELLINGS:
                    return None
        return None

    def usual_spelling(self, path: str) -> str | None:
        """The same, without listing: only the spellings that file systems and tools write."""
        for other in other_spellings(path):
            with suppress(LookalikeError):  # some roles cannot check which objects exist
                self.head(other)
                return other
        return None
