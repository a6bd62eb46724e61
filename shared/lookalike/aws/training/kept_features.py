"""Features of images among the checkpoints, so that they survive when a spot instance is taken away.

SageMaker copies files below `/opt/ml/checkpoints` at any moment, also while they are written. A database that
is in use would be copied torn; so the cache is elsewhere, and a copy that does not change is put here once
the features are complete.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import lmdb

DATABASE = "data.mdb"
MAX_BYTES = 20 << 30
"""A larger cache (activations for training the last stages) costs more to keep than to compute again."""


class KeptFeatures:
    """The copy of a cache.

    Args:
        cache: where the trainer keeps features: one LMDB file a backbone, in folders.
        kept: where the copy is.
    """

    def __init__(self, cache: Path, kept: Path) -> None:
        self._cache = cache
        self._kept = kept

    def restore(self) -> None:
        """Take over what an earlier instance kept."""
        for file in sorted(self._kept.rglob(DATABASE)):
            target = self._cache / file.relative_to(self._kept)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)

    def keep(self) -> bool:
        """Copy what is complete; returns whether there was room for it."""
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
