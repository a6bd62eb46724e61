"""The watcher: reports files that people put into the images root, or remove from it, by hand."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from watchfiles import Change, watch

logger = logging.getLogger(__name__)

DEBOUNCE_MS = 400
STEP_MS = 50
TIMEOUT_MS = 200  # the first timeout, without changes, shows that the watch is set up
POLL_MS = 2_000
RESTART_SECONDS = 0.5


class Watcher:
    """One thread that watches the images root. It may report a file that did not change.

    Args:
        root: the images root.
        changed: called with keys of objects that may have changed.
        unclear: called with a collection in which a folder moved, so that single files are unknown.
        watching: called once the watch is complete; the caller then finds earlier changes itself.
    """

    def __init__(
        self,
        root: Path,
        *,
        changed: Callable[[Sequence[str]], None],
        unclear: Callable[[str], None],
        watching: Callable[[], None],
    ) -> None:
        self._root = root.resolve()
        self._changed = changed
        self._unclear = unclear
        self._watching = watching
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def close(self, timeout_seconds: float) -> None:
        """Stop."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        force_polling: bool | None = None
        while not self._stop.is_set():
            try:
                self._watch(force_polling=force_polling)
            except OSError as error:  # the system's limit of watched folders; a network file system
                logger.warning("cannot watch %s (%s); polling every %d ms", self._root, error, POLL_MS)
                force_polling = True
            except RuntimeError as error:
                # watchfiles ends at a name that is not UTF-8, and drops the other changes of that moment.
                # A new watch starts by finding earlier changes, so nothing is missed.
                logger.warning("the watch of %s starts again: %s", self._root, error)
            self._stop.wait(RESTART_SECONDS)

    def _watch(self, *, force_polling: bool | None) -> None:
        is_first = True
        for changes in watch(
            self._root,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            stop_event=self._stop,
            raise_interrupt=False,
            rust_timeout=TIMEOUT_MS,
            yield_on_timeout=True,
            force_polling=force_polling,
            poll_delay_ms=POLL_MS,
            ignore_permission_denied=True,
        ):
            try:
                if is_first:
                    is_first = False
                    self._watching()
                self._report(changes)
            except Exception:  # must not end the watch
                logger.exception("could not follow changes in %s", self._root)

    def _report(self, changes: Iterable[tuple[Change, str]]) -> None:
        keys: dict[str, None] = {}
        unclear: set[str] = set()
        for change, path in changes:
            parts = Path(path).relative_to(self._root).parts
            if not parts or any(part.startswith(".") for part in parts):
                continue
            if change is Change.deleted and (len(parts) < 3 or not Path(path).suffix):
                # Perhaps a folder with its content: moving a folder away is one event.
                unclear.add(parts[0])
            if os.path.isdir(path):  # noqa: PTH112 - `Path.is_dir` raises for a name that is too long
                # Files that were put there before the folder was watched have no event.
                keys.update(dict.fromkeys(self._below(Path(path))))
            elif len(parts) >= 3:
                keys["/".join(parts)] = None
        if keys:
            self._changed(list(keys))
        for collection in unclear:
            self._unclear(collection)

    def _below(self, folder: Path) -> Iterable[str]:
        for parent, _, names in os.walk(folder):
            for name in names:
                yield (Path(parent) / name).relative_to(self._root).as_posix()
