"""Cache of backbone features on disk: computed once, read in every epoch and every rerun.

One LMDB file (Symas, http://www.lmdb.tech/doc/) for each backbone. Its transactions are atomic, so a killed
training loses at most the last batch; readers map the file into memory, without copies.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import lmdb
import numpy as np
from numpy.typing import NDArray

from lookalike.errors import StoreUnavailable
from lookalike.integrity import load_json, reading

Kind = Literal["features", "activations"]
_PREFIX: Mapping[Kind, bytes] = {"features": b"f", "activations": b"a"}
_PICTURE = b"p"
MAP_BYTES = 1 << 40
"""Upper bound of the file size. LMDB reserves addresses for it, not disk space."""

Values = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """Facts about an image from decoding it.

    Attributes:
        perceptual_hash: 32 bytes; None if it has too few features.
        rejected: why it cannot be decoded; then nothing else is cached for it.
    """

    perceptual_hash: bytes | None = None
    rejected: str | None = None


class ActivationCache:
    """Values of one backbone by content hash and view. One process writes; any number may read.

    Args:
        folder: created if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._file = lmdb.open(str(folder), map_size=MAP_BYTES, max_readers=64, metasync=False)
        except lmdb.Error as error:
            raise StoreUnavailable(
                "the cache of features cannot be opened", got=f"{folder}: {error}", fix="Remove the folder."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def facts(self, digests: Sequence[bytes]) -> dict[bytes, PictureFacts]:
        """The facts about those images of `digests` that were decoded before."""
        found = {}
        with self._file.begin() as transaction:
            for digest in digests:
                data = transaction.get(_PICTURE + digest)
                if data is not None:
                    with reading("an image in the cache of features", "Remove the cache's folder."):
                        known = load_json(data)
                        pdq = known["perceptual_hash"]
                        found[digest] = PictureFacts(bytes.fromhex(pdq) if pdq else None, known["rejected"])
        return found

    def missing(self, digest: bytes, kind: Kind, views: int) -> list[int]:
        """Those of the views 0 to `views` − 1 that are not cached."""
        with self._file.begin() as transaction, transaction.cursor() as cursor:
            return [number for number in range(views) if not cursor.set_key(_key(kind, digest, number))]

    def put(
        self,
        pictures: Mapping[bytes, PictureFacts],
        values: Mapping[tuple[Kind, bytes, int], NDArray[Any]],
    ) -> None:
        """Store a batch atomically. Values are stored as float16.

        Raises:
            StoreUnavailable: the disk is full.
        """
        try:
            with self._file.begin(write=True) as transaction:
                for (kind, digest, number), value in values.items():
                    transaction.put(_key(kind, digest, number), value.astype("<f2").tobytes())
                for digest, facts in pictures.items():
                    pdq = facts.perceptual_hash.hex() if facts.perceptual_hash else None
                    record = {"perceptual_hash": pdq, "rejected": facts.rejected}
                    transaction.put(_PICTURE + digest, json.dumps(record).encode())
        except lmdb.Error as error:
            raise StoreUnavailable(
                "the cache of features cannot be written",
                got=str(error),
                fix="Free some space, or name another folder with --cache or XDG_CACHE_HOME.",
            ) from error

    def read(self, kind: Kind, wanted: Sequence[tuple[bytes, int]], shape: tuple[int, ...]) -> Values:
        """Values of (content hash, view) pairs: (n, *shape) float16.

        Raises:
            KeyError: one is not cached.
        """
        values = np.empty((len(wanted), *shape), np.float16)
        with self._file.begin(buffers=True) as transaction:
            for row, (digest, number) in enumerate(wanted):
                data = transaction.get(_key(kind, digest, number))
                if data is None:
                    raise KeyError(f"{kind} of view {number} of {digest.hex()}")
                values[row] = np.frombuffer(data, "<f2").reshape(shape)
        return values


def _key(kind: Kind, digest: bytes, number: int) -> bytes:
    return _PREFIX[kind] + digest + struct.pack(">H", number)
