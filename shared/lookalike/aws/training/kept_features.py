"""Copies image features to the checkpoints, so that they survive the loss of a spot instance.

SageMaker copies files below `/opt/ml/checkpoints` at any time, even while they are being written. A database
in use would be copied in an inconsistent state. So the cache is elsewhere, and an immutable copy is written
here when the features are complete.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import lmdb

DATABASE = "data.mdb"
MAX_BYTES = 20 << 30
"""Copying a larger cache (activations for training the last stages) takes longer than computing it again."""


class KeptFeatures:
    """The copy of a cache.

    Args:
        cache: the trainer's cache of features: folders with one LMDB file per backbone.
        kept: folder of the copy.
    """

    def __init__(self, cache: Path, kept: Path) -> None:
        self._cache = cache
        self._kept = kept

    def restore(self) -> None:
        """Restore the copy of an earlier instance."""
        for file in sorted(self._kept.rglob(DATABASE)):
            target = self._cache / file.relative_to(self._kept)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)

    def keep(self) -> bool:
        """Copy complete features; returns whether they fit."""
        files = sorted(self._cache.rglob(DATABASE))
        if sum(file.stat().st_blocks * 512 for file in files) > MAX_BYTES:
            return False
        for file in files:
            target = self._kept / file.relative_to(self._cache)
            staging = self._cache / f"{file.parent.name}.copy"
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            with lmdb.open(str(file.parent), readonly=True, lock=True) as database:
                database.copy(str(staging), compact=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            (staging / DATABASE).replace(target)
            shutil.rmtree(staging)
        return True
