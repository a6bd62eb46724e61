"""`lookalike serve`: the API, ingest, snapshot builds and trainings of one store, in one process."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

from fastapi import FastAPI

from lookalike.api.http.access import Access, KeyAccess, LoopbackAccess
from lookalike.api.http.app import create_app
from lookalike.api.http.envelope import is_loopback
from lookalike.api.keys import Keys
from lookalike.errors import CollectionNotFound, InvalidInput, NotReady
from lookalike.library import Library
from lookalike.local.build_process import Builder
from lookalike.local.ingest_worker import IngestWorker
from lookalike.local.watcher import Watcher
from lookalike.local.work_queue import WorkQueue
from lookalike.settings import Settings, cache_folder
from lookalike.storage import Store
from lookalike.training_jobs.local_runner import Runner

logger = logging.getLogger(__name__)

RECONCILE_SECONDS = 900.0
"""Interval between full listings. They find what file events miss: queue overflows, network folders."""
BUILD_CHECK_SECONDS = 60.0
CLOSE_SECONDS = 10.0
SHUTDOWN_SECONDS = 10


class LocalServer:
    """The API over a store. For a folder it also runs the workers that keep the store up to date.

    `app` starts and stops them with its lifespan.
    """

    def __init__(self, settings: Settings, *, keys_required: bool) -> None:
        self.settings = settings
        self._cache = tempfile.TemporaryDirectory(prefix="lookalike-cache-")
        self.library = Library(settings, Path(self._cache.name))
        images, names = self.library.images, self.library.collections.names
        self._builder = Builder(self.library)
        self._building = WorkQueue("build", self._build, every_seconds=BUILD_CHECK_SECONDS, names=names)
        self._reconciling = WorkQueue(
            "reconcile", self._reconcile, every_seconds=RECONCILE_SECONDS, names=names
        )
        self._worker = IngestWorker(
            self.library.ingestor, ingested=self._ingested, unknown=self._warn_of_stray_folder
        )
        self._stray_folders: set[str] = set()
        self._watcher: Watcher | None = None
        self._trainings: Runner | None = None
        if images.folder is not None:
            self._watcher = Watcher(
                images.folder,
                changed=self._worker.notice,
                unclear=self._reconciling.request,
                watching=self._reconcile_all,
            )
            self._trainings = Runner(settings, cache_folder(os.environ), ended=self._trained)
        self.app = create_app(
            self.library,
            access=self._access(keys_required),
            listener=self if self._watcher else None,
            trainer=self._trainings,
            lifespan=self._lifespan,
        )

    def _access(self, keys_required: bool) -> Access:
        if not keys_required:
            return LoopbackAccess()
        return KeyAccess(Keys(self.library.artifacts, tokens=self.library.tokens))

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        from starlette.concurrency import run_in_threadpool

        self.start()
        try:
            yield
        finally:
            await run_in_threadpool(self.close)

    def start(self) -> None:
        """Start watching the folder, and process what has changed since the last start."""
        if self._watcher is not None:
            for part in (self._watcher, self._worker, self._reconciling, self._building, self._trainings):
                if part is not None:
                    part.start()

    def close(self) -> None:
        """Finish the current work, then stop. A running build is ended: it can start again."""
        self._builder.close()
        if self._watcher is not None:
            for part in (self._trainings, self._watcher, self._reconciling, self._worker, self._building):
                if part is not None:
                    part.close(CLOSE_SECONDS)
        self._cache.cleanup()

    # The `lookalike.api.change_listeners.ChangeListener` of the API

    def objects_changed(self, keys: Sequence[str], *, wait_seconds: float = 0.0) -> None:
        """Ingest these objects next."""
        self._worker.objects_changed(keys, wait_seconds=wait_seconds)

    def collection_changed(self, name: str) -> None:
        """Encode images with the new encoder, then build a snapshot with the new options."""
        self._reconciling.request(name)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Train, ingest and publish nothing of a collection while it is deleted.

        A commit after the deletion would leave tables behind.
        """
        with ExitStack() as stack:
            stack.enter_context(self._worker.paused())
            if self._trainings is not None:
                stack.enter_context(self._trainings.paused(name))
            stack.enter_context(self._builder.paused(name))
            yield

    # Work of the threads

    def _reconcile_all(self) -> None:
        for name in self.library.collections.names():
            self._reconciling.request(name)

    def _trained(self, name: str) -> None:
        self._refresh(name)
        self.collection_changed(name)

    def _ingested(self, name: str) -> None:
        self._refresh(name)
        self._building.request(name)

    def _refresh(self, name: str) -> None:
        try:
            self.library.searcher(name).refresh(force=True)
        except CollectionNotFound:
            logger.debug("%s was deleted in the meantime", name)
        except Exception:  # a table that is being deleted fails in many ways; the workers must continue
            logger.exception("%s cannot be searched", name)

    def _reconcile(self, name: str) -> None:
        if name not in self.library.collections.names():
            self._warn_of_stray_folder(name)
            return
        report = self.library.ingestor.reconcile(name)
        if report.changed:
            logger.info("%s: %d objects updated", name, report.changed)
        for event, error in report.failed:
            logger.warning("%s failed: %s", event.key, error)
        self._ingested(name)
        with suppress(CollectionNotFound, NotReady):
            self.library.searcher(name).warm()

    def _warn_of_stray_folder(self, name: str) -> None:
        """Warn once that a folder of the images root is not a collection."""
        folder = self.library.images.local_path(name)
        if name not in self._stray_folders and folder is not None and folder.is_dir():
            self._stray_folders.add(name)
            logger.warning(
                "%s is not a collection, so its images are not searchable: create one with "
                "PUT /collections/%s, or `lookalike index FOLDER --collection %s`",
                *(folder, name, name),
            )

    def _build(self, name: str) -> None:
        if self._builder.build_if_needed(name):
            self._refresh(name)


def serve(
    settings: Settings,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    keys_required: bool | None = None,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve the API over `settings.store` until SIGTERM or Ctrl-C; then finish the current work and return.

    For a folder, this also ingests uploads and files added or removed by hand, and builds snapshots when
    they are outdated. For S3 it only serves the API.

    Args:
        settings: all options.
        host: name or address to bind to.
        port: 0 chooses a free one.
        keys_required: None: API keys are required unless `host` is a loopback address.
        announce: called with the URL once the server accepts connections.

    Raises:
        InvalidInput: the address cannot be bound; or keys are required and there are none; or keys are off
            for an address that other machines reach.
    """
    import uvicorn

    required = _keys_required(host, keys_required)
    if required and not Keys(Store.artifacts(settings)).list():
        raise InvalidInput(
            "this server requires API keys and there are none",
            fix="Create one with `lookalike keys create NAME`.",
        )
    local = LocalServer(settings, keys_required=required)
    with listen(host, port) as listening:
        if announce is not None:
            announce(_url(host, listening))
        config = uvicorn.Config(
            local.app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after its shutdown
            uvicorn.Server(config).run(sockets=[listening])


def _keys_required(host: str, wanted: bool | None) -> bool:
    if wanted is False and not is_loopback(host):
        raise InvalidInput(
            "without API keys the server must be bound to this machine alone",
            got=f"host {host}",
            expected="127.0.0.1, ::1 or localhost",
        )
    return not is_loopback(host) if wanted is None else wanted


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises InvalidInput if it cannot be bound."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With the protocol named, asyncio sends small packets immediately (TCP_NODELAY). Without it, every
        # response would wait 40 ms for an acknowledgement.
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        raise InvalidInput(
            "the server cannot be bound to this address",
            got=f"{host}:{port} ({error.strerror})",
            fix="Choose another --port, or stop the program that uses it.",
        ) from error
    return listening


def _url(host: str, listening: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}"
