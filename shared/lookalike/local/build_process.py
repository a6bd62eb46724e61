"""Builds snapshots on this machine, in this process or in a separate one.

A small snapshot is built in this process, in less time than a new process takes to start. A large one is
built in a child process: 100,000 items next to searches in one process slowed the median search by a third to
a half more than two processes did. The child runs at a lower priority and can be ended at any moment, because
nothing is published until all of it is verified.
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
from lookalike.library import Library

logger = logging.getLogger(__name__)

SMALL_ITEMS = 2_000
NICENESS = 5
STOP_SECONDS = 5.0


class Builder:
    """Builds snapshots of collections when they need one."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._process_of = ""
        self._building_here = threading.Lock()
        self._paused: set[str] = set()
        self._closing = False

    def build_if_needed(self, name: str) -> bool:
        """Build a snapshot of a collection if it needs one; returns whether one was built.

        Raises what `build_snapshot` raises, for a small collection.
        """
        try:
            state = self._library.staleness(name)
        except (CollectionNotFound, EncoderNotFound):
            return False
        if not state.needs_build:
            return False
        is_small = state.catalogue.stats().live <= SMALL_ITEMS
        if not (self._build_here(name) if is_small else self._build_in_child(name)):
            return False
        logger.info("%s: published a new snapshot (%s)", name, state.reason)
        return True

    def close(self) -> None:
        """End a build in progress; the next start begins it again."""
        with self._lock:
            self._closing = True
            process = self._process
        if process is not None:
            _end(process)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Prevent builds of this collection while the block runs. Ends a build in progress first."""
        with self._lock:
            self._paused.add(name)
            process = self._process if self._process_of == name else None
        try:
            if process is not None:
                _end(process)
            with self._building_here:
                pass  # a small build ends in a moment
            yield
        finally:
            with self._lock:
                self._paused.discard(name)

    def _build_here(self, name: str) -> bool:
        with self._building_here:
            if self._is_stopped(name):
                return False
            self._library.build_snapshot(name)
        return True

    def _is_stopped(self, name: str) -> bool:
        return self._closing or name in self._paused

    def _build_in_child(self, name: str) -> bool:
        command = [sys.executable, "-m", "lookalike.local.build_process", name]
        environment = {**os.environ, **self._library.settings.to_env()}
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
            logger.error("%s: the build of a snapshot ended with exit code %d", name, code)
        return code == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    os.nice(NICENESS)
    Library.open().build_snapshot(sys.argv[1])
