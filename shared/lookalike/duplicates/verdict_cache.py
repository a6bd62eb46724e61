"""Verdicts of earlier comparisons: `collections/<collection>/duplicate-verdicts.json.gz`.

A verdict depends on two images only. It is stored under a hash of what identifies both, so it outlives
builds, encoders and processes, and an image that was replaced is compared again. The file is a cache: a
damaged or missing one costs time, and of two processes that write at the same time one may win.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from contextlib import suppress
from typing import Any, get_args

from lookalike.duplicates.original import Traces
from lookalike.duplicates.verdict import Relation, Verdict
from lookalike.errors import LookalikeError, ObjectNotFound
from lookalike.storage import Store
from lookalike.types import Item

METHOD = 2
"""Raise it with every change of `judge` or of what it depends on: verdicts of another method are ignored."""
MAX_VERDICTS = 50_000
"""The oldest are dropped. About 40 bytes each in the file."""
MAX_BYTES = 64 << 20
"""Of the document. A cache that is larger is not ours."""
KEY_BYTES = 12


class VerdictCache:
    """The verdicts of one collection. Not safe to share between threads.

    Args:
        artifacts: the artifacts root.
        collection: its name.

    Attributes:
        path: of the file, below the artifacts root.
    """

    def __init__(self, artifacts: Store, collection: str) -> None:
        self._artifacts = artifacts
        self.path = f"collections/{collection}/duplicate-verdicts.json.gz"
        self._stored: dict[str, Any] | None = None
        self._new: dict[str, Any] = {}

    def get(self, a: Item, b: Item) -> Verdict | None:
        """What is known about two images; None: they have to be compared."""
        key, swapped = _key(a, b)
        if key is None:
            return None
        if self._stored is None:
            self._stored = self._read()
        verdict = _parsed(self._new.get(key) or self._stored.get(key))
        return verdict.swapped() if verdict and swapped else verdict

    def put(self, a: Item, b: Item, verdict: Verdict) -> None:
        """Remember a verdict; `save` writes it."""
        key, swapped = _key(a, b)
        if key is not None:
            self._new[key] = _dumped(verdict.swapped() if swapped else verdict)

    def save(self) -> None:
        """Add what is new to the file. A failure is not reported: the next call writes again."""
        if not self._new:
            return
        merged = self._read() | self._new  # with what other processes wrote meanwhile
        kept = dict(list(merged.items())[-MAX_VERDICTS:])
        document = json.dumps({"method": METHOD, "verdicts": kept}, separators=(",", ":"))
        with suppress(LookalikeError):
            self._artifacts.put(self.path, gzip.compress(document.encode(), compresslevel=3))
            self._stored, self._new = kept, {}

    def _read(self) -> dict[str, Any]:
        try:
            # Bounded, so that a damaged file cannot unpack to more than fits into memory.
            unpacked = zlib.decompressobj(wbits=31).decompress(self._artifacts.get(self.path).data, MAX_BYTES)
            document = json.loads(unpacked)
            if document["method"] == METHOD and isinstance(document["verdicts"], dict):
                return document["verdicts"]
        except (ObjectNotFound, zlib.error, ValueError, KeyError, TypeError, RecursionError):
            pass
        return {}


def _key(a: Item, b: Item) -> tuple[str | None, bool]:
    """The key of a pair, and whether it is stored the other way round. None: an image has no time."""
    if not a.ingested_at or not b.ingested_at:
        return None, False
    own, other = (_identity(item) for item in (a, b))
    first, second = sorted((own, other))
    return hashlib.blake2b(first + second, digest_size=KEY_BYTES).hexdigest(), own > other


def _identity(item: Item) -> bytes:
    parts = (item.id, item.ingested_at, item.width, item.height, (item.perceptual_hash or b"").hex())
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=KEY_BYTES).digest()


def _dumped(verdict: Verdict) -> list[Any]:
    traces = [[sorted(each.edits), each.camera, each.quantisation] for each in verdict.traces]
    return [verdict.relation, list(verdict.reasons), *(traces if any(map(any, traces)) else [])]


def _parsed(entry: Any) -> Verdict | None:
    """None: it is damaged."""
    try:
        relation, reasons, *traces = entry
        if relation not in get_args(Relation) or not all(isinstance(each, str) for each in reasons):
            return None
        if not traces:
            return Verdict(relation, tuple(reasons))
        first, second = (Traces(frozenset(e), bool(camera), float(step)) for e, camera, step in traces)
        return Verdict(relation, tuple(reasons), (first, second))
    except (ValueError, TypeError):
        return None
