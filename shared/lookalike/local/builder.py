"""The builder: a new snapshot when the old one has fallen behind.

A small one is made right here, in less time than a process takes to start. A large one is made in a process
of its own: 100,000 items beside searches in one process slowed the median search by a third to a half more
than two processes did. It runs at a lower priority and can be ended at any moment, because nothing is
published until all of it is right.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lookalike.catalogue import Catalogue
from lookalike.collections import CollectionConfig, Collections
from lookalike.encoders import Encoders
from lookalike.errors import CollectionNotFound, EncoderNotFound, Incompatible, SnapshotNotFound
from lookalike.ingest import needs_build
from lookalike.settings import Settings
from lookalike.snapshots import BuildOptions, SnapshotManifest, build_snapshot, current, known_to_all
from lookalike.storage import Store

logger = logging.getLogger(__name__)

SMALL_ITEMS = 2_000
NICENESS = 5
STOP_SECONDS = 5.0


class Builder:
    """Builds snapshots of collections when they need one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._artifacts = Store.artifacts(settings)
        self._collections = Collections(self._artifacts)
        self._encoders = Encoders(self._artifacts)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._process_of = ""
        self._here = threading.Lock()
        self._quiet: set[str] = set()
        self._closing = False

    def build_if_needed(self, name: str) -> bool:
        """Build a snapshot of a collection if it needs one; returns whether one was built.

        Raises what `build_snapshot` raises, for a small collection.
        """
        try:
            config = self._collections.get(name)
            catalogue = _catalogue(self._artifacts, self._encoders, config)
        except (CollectionNotFound, EncoderNotFound):
            return False
        if not self._needs_build(config, catalogue):
            return False
        if catalogue.stats().live <= SMALL_ITEMS:
            if not self._build_here(name):
                return False
        elif not self._build_apart(name):
            return False
        logger.info("%s: a new snapshot is published", name)
        return True

    def close(self) -> None:
        """End a build under way; the next start begins it again."""
        with self._lock:
            self._closing = True
            process = self._process
        if process is not None:
            _end(process)

    def _needs_build(self, config: CollectionConfig, catalogue: Catalogue) -> bool:
        try:
            serving = current(self._artifacts, config.name)
        except (SnapshotNotFound, Incompatible):
            serving = None
        if serving is None:
            return needs_build(catalogue, None, 0, self._settings)
        if serving.encoder_id != config.encoder_id:
            # Row versions of two encoders do not compare. Until all is encoded anew, the old one serves.
            stats = catalogue.stats()
            return stats.vectors >= stats.live > 0
        if _is_outdated(serving, config):
            return True
        return needs_build(catalogue, serving.catalogue, serving.count, self._settings)

    @contextmanager
    def quiet(self, name: str) -> Iterator[None]:
        """No build of this collection while the block runs; one under way is ended first."""
        with self._lock:
            self._quiet.add(name)
            process = self._process if self._process_of == name else None
        try:
            if process is not None:
                _end(process)
            with self._here:
                pass  # a small build is over in a moment
            yield
        finally:
            with self._lock:
                self._quiet.discard(name)

    def _build_here(self, name: str) -> bool:
        with self._here:
            if self._is_stopped(name):
                return False
            build(self._settings, name)
        return True

    def _is_stopped(self, name: str) -> bool:
        return self._closing or name in self._quiet

    def _build_apart(self, name: str) -> bool:
        command = [sys.executable, "-m", "lookalike.local.builder", name]
        environment = {**os.environ, **self._settings.to_env()}
        with self._lock:
            if self._is_stopped(name):
                return False
            self._process_of = name
            self._process = subprocess.Popen(command, env=environment)  # noqa: S603  # our own module
        try:
            code = self._process.wait()
        finally:
            with self._lock:
                self._process = None
        if code and not self._is_stopped(name):
            logger.error("%s: the build of a snapshot ended with code %d", name, code)
        return code == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _is_outdated(serving: SnapshotManifest, config: CollectionConfig) -> bool:
    """Whether the collection was configured otherwise since."""
    wanted = BuildOptions(config.engine, config.n_trees, config.search_k, config.recall_target)
    return serving.metric != config.metric or serving.options != wanted


def _catalogue(artifacts: Store, encoders: Encoders, config: CollectionConfig) -> Catalogue:
    dimension = encoders.get(config.encoder_id).dimension
    return Catalogue(artifacts, config.name, config.encoder_id, dimension)


def build(settings: Settings, name: str) -> SnapshotManifest:
    """Build and publish a snapshot of a collection in this process, then tidy its catalogue."""
    artifacts = Store.artifacts(settings)
    config = Collections(artifacts).get(name)
    catalogue = _catalogue(artifacts, Encoders(artifacts), config)
    with tempfile.TemporaryDirectory(prefix="lookalike-build-") as scratch:
        manifest = build_snapshot(
            artifacts,
            config,
            catalogue,
            work_dir=Path(scratch),
            grace_seconds=settings.snapshot_grace_seconds,
        )
    catalogue.compact(known_to_all(artifacts, name, manifest.catalogue))
    return manifest


if __name__ == "__main__":
    os.nice(NICENESS)
    build(Settings.from_env(os.environ), sys.argv[1])
