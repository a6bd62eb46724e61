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
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lookalike.errors import CollectionNotFound, EncoderNotFound
from lookalike.settings import Settings
from lookalike.snapshots.staleness import Building, Standing

logger = logging.getLogger(__name__)

SMALL_ITEMS = 2_000
NICENESS = 5
STOP_SECONDS = 5.0


class Builder:
    """Builds snapshots of collections when they need one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._building = Building(settings)
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
            standing = self._building.standing(name)
        except (CollectionNotFound, EncoderNotFound):
            return False
        if not standing.needs_build:
            return False
        if standing.catalogue.stats().live <= SMALL_ITEMS:
            if not self._build_here(standing):
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

    def _build_here(self, standing: Standing) -> bool:
        with self._here:
            if self._is_stopped(standing.config.name):
                return False
            self._building.build(standing)
        return True

    def _is_stopped(self, name: str) -> bool:
        return self._closing or name in self._quiet

    def _build_apart(self, name: str) -> bool:
        command = [sys.executable, "-m", "lookalike.local.build_process", name]
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


def build(settings: Settings, name: str) -> None:
    """Build and publish a snapshot of a collection in this process."""
    building = Building(settings)
    building.build(building.standing(name))


if __name__ == "__main__":
    os.nice(NICENESS)
    build(Settings.from_env(os.environ), sys.argv[1])
