"""Runs the trainings of one store on this machine, one after another."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from lookalike.collection_config import Collections
from lookalike.errors import LookalikeError, NotFound
from lookalike.layout import zip_key
from lookalike.settings import Settings
from lookalike.storage import Store
from lookalike.training_jobs.records import Training, Trainings

logger = logging.getLogger(__name__)

ATTEMPTS = 3
POLL_SECONDS = 0.5
CANCEL_SECONDS = 20.0
"""Time for a process to notice that it was cancelled, before it is killed."""
TAIL_BYTES = 2_000


class Runner:
    """A thread that starts a process for each training, and starts it again if it dies.

    Args:
        settings: name the store.
        cache: folder that outlives the server, for image features.
        ended: called with the collection after each training.
    """

    def __init__(self, settings: Settings, cache: Path, *, ended: Callable[[str], None]) -> None:
        self._settings = settings
        self._cache = cache
        self._ended = ended
        self._artifacts = Store.artifacts(settings)
        self._images = Store.images(settings)
        self._condition = threading.Condition()
        self._waiting: list[tuple[str, str]] = []
        self._current: tuple[str, str] | None = None
        self._paused: set[str] = set()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="trainings", daemon=True)

    def start(self) -> None:
        """Start, with the trainings that the last server left unfinished."""
        for collection in Collections(self._artifacts).names():
            for training in reversed(Trainings(self._artifacts, collection).all()):
                if training.is_active and training.status != "waiting_for_upload":
                    self.begin(collection, training.id)
        self._thread.start()

    def close(self, timeout_seconds: float) -> None:
        """Stop the current training; the next start resumes it."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    # What the API calls (see `lookalike.training_jobs.runner`)

    def check(self) -> None:
        """Do nothing: this server can run trainings."""

    def begin(self, collection: str, training_id: str) -> None:
        """Run a training when its turn comes."""
        with self._condition:
            if (collection, training_id) not in self._waiting and self._current != (collection, training_id):
                self._waiting.append((collection, training_id))
            self._condition.notify_all()

    def cancel(self, collection: str, training_id: str) -> None:
        """Cancel a training: its process notices the request; one that waits for its turn ends now."""
        with self._condition:
            self._condition.notify_all()
            if self._current == (collection, training_id):
                return
        Trainings(self._artifacts, collection).finish(
            training_id, "cancelled", reason="cancelled by the user"
        )
        self._images.delete(zip_key(collection, training_id))

    @contextmanager
    def paused(self, collection: str) -> Iterator[None]:
        """Prevent trainings of this collection while the block runs; the current one is stopped first."""
        with self._condition:
            self._paused.add(collection)
            self._waiting = [each for each in self._waiting if each[0] != collection]
            self._condition.notify_all()
            while self._current and self._current[0] == collection:
                self._condition.wait()
        try:
            yield
        finally:
            with self._condition:
                self._paused.discard(collection)

    # The thread

    def _run(self) -> None:
        while (task := self._next()) is not None:
            collection, training_id = task
            try:
                self._carry_out(collection, training_id)
            except Exception:  # an error in one collection must not stop the others
                logger.exception("training %s of %s failed", training_id, collection)
            finally:
                with self._condition:
                    self._current = None
                    self._condition.notify_all()
            if not self._is_stopped(collection):
                self._ended(collection)

    def _next(self) -> tuple[str, str] | None:
        with self._condition:
            while not self._waiting and not self._closing:
                self._condition.wait()
            if self._closing:
                return None
            self._current = self._waiting.pop(0)
            return self._current

    def _is_stopped(self, collection: str) -> bool:
        return self._closing or collection in self._paused

    def _carry_out(self, collection: str, training_id: str) -> None:
        trainings = Trainings(self._artifacts, collection)
        died = 0
        while not self._is_stopped(collection):
            try:
                if not trainings.get(training_id).is_active:
                    return
                tail = self._attempt(collection, training_id, trainings)
                training = trainings.get(training_id)
            except NotFound:  # deleted with its collection
                return
            if self._is_stopped(collection) or not training.is_active:
                return
            if training.cancel_requested:
                self._clear(trainings, training)
                return
            died += 1
            logger.warning("training %s of %s died: %s", training_id, collection, tail)
            if died == ATTEMPTS:
                trainings.finish(training_id, "failed", reason=f"its process died {died} times: {tail}")
                self._images.delete(zip_key(collection, training_id))
                return
            trainings.log_line(training_id, "its process died; it resumes")

    def _attempt(self, collection: str, training_id: str, trainings: Trainings) -> str:
        """Run the process to its end, or kill it; returns the end of its output."""
        command = [
            sys.executable,
            "-m",
            "lookalike.local.training_process",
            collection,
            training_id,
            str(self._cache),
        ]
        environment = {**os.environ, **self._settings.to_env()}
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(  # noqa: S603  # our own module
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # its own group, so that its children end with it
            )
            try:
                self._watch(process, collection, training_id, trainings)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if process.stdin:
                    process.stdin.close()
            return _tail(output) or f"exit code {process.returncode}"

    def _watch(
        self, process: subprocess.Popen[bytes], collection: str, training_id: str, trainings: Trainings
    ) -> None:
        """Return when the process has ended or must be ended."""
        seconds_left = CANCEL_SECONDS
        while process.poll() is None and seconds_left > 0:
            with self._condition:
                if self._is_stopped(collection):
                    return
                self._condition.wait(POLL_SECONDS)
            with suppress(LookalikeError):
                if trainings.get(training_id).cancel_requested:
                    seconds_left -= POLL_SECONDS

    def _clear(self, trainings: Trainings, training: Training) -> None:
        trainings.finish(training.id, "cancelled", reason="cancelled by the user")
        self._images.delete(zip_key(training.collection, training.id))


def _tail(output: IO[bytes]) -> str:
    output.seek(0, os.SEEK_END)
    output.seek(max(0, output.tell() - TAIL_BYTES))
    lines = output.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""
