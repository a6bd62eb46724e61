"""The newest version of a table in a bucket, found from the version that this process knew last.

A listing on S3 costs as much as a write: twelve times a HEAD. Versions of a table are consecutive, and Lance
writes each only if it is not there. So where version n was the newest, either n + 1 exists now, or n still is
the newest.

Housekeeping removes old versions, n + 1 among them, but none of the last `VERSION_GRACE`. So what was learned
is used for `KNOWN_SECONDS`, which is far shorter; then the table is listed again.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress

from lookalike.errors import ObjectNotFound
from lookalike.storage import ObjectInfo, Store

KNOWN_SECONDS = 60.0
MAX_STEPS = 8
"""Versions that are tried before a listing is cheaper."""
MAX_TABLES = 1_024
_LAST = 2**64 - 1
_MANIFEST = re.compile(r"(\d{20})\.manifest")
_Key = tuple[str, str]

_lock = threading.Lock()
_known: OrderedDict[_Key, tuple[int, float]] = OrderedDict()
"""By table: its newest version, 0 for no table, and when that was learned (`time.monotonic()`)."""


def version_of(manifest: ObjectInfo | None) -> int:
    """The version of a manifest; 0: there is none."""
    found = _MANIFEST.search(manifest.path) if manifest else None
    return _LAST - int(found[1]) if found else 0


def newest_manifest(store: Store, path: str) -> ObjectInfo | None:
    """The newest version's manifest of the table at `path`, without Lance; None: there is no table.

    Raises StoreUnavailable.
    """
    known = _recall(store, path)
    if known is not None:
        found, is_certain = _probe(store, path, known)
        if is_certain:
            return found
    began = time.monotonic()
    found = _listed(store, path)
    remember(store, path, version_of(found), began)
    return found


def newest_version(store: Store, path: str) -> int | None:
    """A version that is the newest if it still exists; None: not known, or there was no table.

    The caller opens it, which shows whether it exists. Raises StoreUnavailable.
    """
    known = _recall(store, path)
    if not known:
        return None
    found, is_certain = _next(store, path, known)
    if not is_certain:
        return None
    return version_of(found) if found else known


def remember(store: Store, path: str, version: int, learned_at: float) -> None:
    """Record that a listing or a commit showed `version` to be the newest, at `learned_at`
    (`time.monotonic()`)."""
    if store.folder is not None:  # listing a folder costs nothing
        return
    with _lock:
        _known[_key(store, path)] = (version, learned_at)
        _known.move_to_end(_key(store, path))
        if len(_known) > MAX_TABLES:
            _known.popitem(last=False)


def _recall(store: Store, path: str) -> int | None:
    with _lock:
        version, learned_at = _known.get(_key(store, path), (0, float("-inf")))
    return version if time.monotonic() - learned_at < KNOWN_SECONDS else None


def _probe(store: Store, path: str, known: int) -> tuple[ObjectInfo | None, bool]:
    """The newest manifest, and whether that is certain."""
    found, is_certain = _next(store, path, known)
    if found is None and is_certain and known:
        found = _head(store, path, known)
        is_certain = found is not None  # otherwise another table has replaced it
    return found, is_certain


def _next(store: Store, path: str, known: int) -> tuple[ObjectInfo | None, bool]:
    """The newest manifest after `known`, if there is any, and whether it is the newest for certain."""
    newest: ObjectInfo | None = None
    for version in range(known + 1, known + 1 + MAX_STEPS):
        found = _head(store, path, version)
        if found is None:
            return newest, True
        newest = found
    return None, False


def _head(store: Store, path: str, version: int) -> ObjectInfo | None:
    with suppress(ObjectNotFound):
        return store.head(f"{path}/_versions/{_LAST - version:020}.manifest")
    return None


def _listed(store: Store, path: str) -> ObjectInfo | None:
    """By one listing: Lance names manifests by 2^64 − 1 − version, so that the newest comes first
    (https://lance.org/format/table/versioning/)."""
    manifests: Iterator[ObjectInfo] = iter(store.list(f"{path}/_versions"))
    return next((info for info in manifests if _MANIFEST.fullmatch(info.path.rsplit("/", 1)[-1])), None)


def _key(store: Store, path: str) -> _Key:
    """Two stores on this machine may have buckets of one name."""
    return (store.lance_options() or {}).get("aws_endpoint", ""), store.lance_uri(path)
