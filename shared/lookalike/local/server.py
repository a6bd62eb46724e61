"""`serve`: everything that one machine needs, in one process."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

from fastapi import FastAPI

from lookalike.api.access import KeyAccess, LoopbackAccess
from lookalike.api.app import create_app
from lookalike.api.envelope import is_loopback
from lookalike.api.keys import Keys
from lookalike.api.service import Service
from lookalike.collections import CollectionConfig, Collections
from lookalike.encoders import Encoder, Encoders
from lookalike.errors import CollectionNotFound, InvalidInput, NotReady
from lookalike.ingest import Ingestor
from lookalike.library import Library
from lookalike.local.build_process import Builder
from lookalike.local.ingest_worker import Worker
from lookalike.local.watcher import Watcher
from lookalike.local.work_queue import Lane
from lookalike.settings import Settings, cache_folder
from lookalike.storage import Store
from lookalike.training_jobs.local_runner import Runner

logger = logging.getLogger(__name__)

RECONCILE_SECONDS = 900.0
"""How often everything is listed, for what no watch can see: an overflow of its queue, a network folder."""
BUILD_CHECK_SECONDS = 60.0
CLOSE_SECONDS = 10.0
SHUTDOWN_SECONDS = 10


class LocalServer:
    """The app over a store, and, over a folder, the workers that keep it up to date.

    `app` starts and stops them with its lifespan.
    """

    def __init__(self, settings: Settings, *, keys_required: bool) -> None:
        artifacts, images = Store.artifacts(settings), Store.images(settings)
        self.settings = settings
        self._collections = Collections(artifacts)
        self._cache = tempfile.TemporaryDirectory(prefix="lookalike-cache-")
        self._encoders = Encoders(artifacts, Path(self._cache.name) / "encoders")
        self._loaded: dict[str, Encoder] = {}
        self._ingestor = Ingestor(images, artifacts, settings, self._encoder_for)
        self._builder = Builder(Library(settings, cache_folder(os.environ)))
        self._building = Lane(
            "build", self._build, every_seconds=BUILD_CHECK_SECONDS, names=self._collections.names
        )
        self._reconciling = Lane(
            "reconcile", self._reconcile, every_seconds=RECONCILE_SECONDS, names=self._collections.names
        )
        self._worker = Worker(self._ingestor, ingested=self._ingested, unknown=self._hint)
        self._hinted: set[str] = set()
        self._watcher: Watcher | None = None
        if images.folder is not None:
            self._watcher = Watcher(
                images.folder,
                changed=self._worker.notice,
                unclear=self._reconciling.request,
                watching=self._catch_up,
            )
        follower = self if self._watcher else None
        self._trainings: Runner | None = None
        if self._watcher:
            self._trainings = Runner(settings, cache_folder(os.environ), ended=self._trained)
        self.service = Service(
            settings, self._encoders, Path(self._cache.name), follower=follower, trainer=self._trainings
        )
        access = KeyAccess(Keys(artifacts)) if keys_required else LoopbackAccess()
        self.app = create_app(self.service, access=access, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        from starlette.concurrency import run_in_threadpool

        self.start()
        try:
            yield
        finally:
            await run_in_threadpool(self.close)

    def start(self) -> None:
        """Start to follow the folder, and to catch up with what happened to it meanwhile."""
        if self._watcher is not None:
            for part in (self._watcher, self._worker, self._reconciling, self._building, self._trainings):
                if part is not None:
                    part.start()

    def close(self) -> None:
        """Stop, after what is under way; a build is ended, since it can begin again."""
        self._builder.close()
        if self._watcher is not None:
            for part in (self._trainings, self._watcher, self._reconciling, self._worker, self._building):
                if part is not None:
                    part.close(CLOSE_SECONDS)
        self._cache.cleanup()

    # What the service tells (see `lookalike.api.follower`)

    def objects_changed(self, keys: Sequence[str], *, wait_seconds: float = 0.0) -> None:
        """Ingest soon."""
        self._worker.objects_changed(keys, wait_seconds=wait_seconds)

    def collection_changed(self, name: str) -> None:
        """Encode what another encoder asks for, then build what other options ask for."""
        self._reconciling.request(name)

    @contextmanager
    def quiet(self, name: str) -> Iterator[None]:
        """Train, ingest and publish nothing of a collection that is being deleted: a commit on its way would
        leave tables behind."""
        with ExitStack() as stack:
            stack.enter_context(self._worker.quiet())
            if self._trainings is not None:
                stack.enter_context(self._trainings.quiet(name))
            stack.enter_context(self._builder.paused(name))
            yield

    # What the workers do

    def _catch_up(self) -> None:
        for name in self._collections.names():
            self._reconciling.request(name)

    def _encoder_for(self, config: CollectionConfig) -> Encoder:
        if config.encoder_id not in self._loaded:
            self._loaded[config.encoder_id] = self._encoders.load(config.encoder_id)
        return self._loaded[config.encoder_id]

    def _trained(self, name: str) -> None:
        self._refresh(name)
        self.collection_changed(name)

    def _ingested(self, name: str) -> None:
        self._refresh(name)
        self._building.request(name)

    def _refresh(self, name: str) -> None:
        try:
            self.service.searcher(name).refresh(force=True)
        except CollectionNotFound:
            logger.debug("%s was deleted meanwhile", name)
        except Exception:  # a table that is being deleted fails in many ways; the workers go on
            logger.exception("%s cannot be searched", name)

    def _reconcile(self, name: str) -> None:
        if name not in self._collections.names():
            self._hint(name)
            return
        report = self._ingestor.reconcile(name)
        if report.changed:
            logger.info("%s: %d objects were brought up to date", name, report.changed)
        for event, error in report.failed:
            logger.warning("%s failed: %s", event.key, error)
        self._ingested(name)
        with suppress(CollectionNotFound, NotReady):
            self.service.searcher(name).warm()

    def _hint(self, name: str) -> None:
        """Say once that a folder of the images root is no collection."""
        folder = self.service.images.local_path(name)
        if name not in self._hinted and folder is not None and folder.is_dir():
            self._hinted.add(name)
            logger.warning(
                "%s is no collection, so nothing in it is found: make it one with PUT /collections/%s, or "
                "`lookalike index FOLDER --collection %s`",
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
    """Serve the API over `settings.store` until SIGTERM or Ctrl-C; then finish what is under way and return.

    Over a folder, uploads are ingested, files dropped into it or removed by hand are followed, and snapshots
    are built when they fall behind. Over S3 the API alone is served.

    Args:
        settings: all options.
        host: name or address to bind to.
        port: 0 takes a free one.
        keys_required: None: API keys are needed unless `host` is this machine's loopback.
        announce: told the URL once connections are accepted.

    Raises:
        InvalidInput: the address cannot be bound, or keys are needed and there are none, or keys are to be
            off for all the network.
    """
    import uvicorn

    required = _keys_required(host, keys_required)
    if required and not Keys(Store.artifacts(settings)).list():
        raise InvalidInput(
            "nobody could use this server: it needs API keys and there is none",
            fix="Make one with `lookalike keys create NAME`.",
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
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after it has shut down
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
    """A socket that listens. Raises InvalidInput: it cannot be bound."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With the protocol named, asyncio sends small packets at once (TCP_NODELAY); without, every answer
        # would wait 40 ms for an acknowledgement.
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        raise InvalidInput(
            "the server cannot be bound to this address",
            got=f"{host}:{port} ({error.strerror})",
            fix="Choose another --port, or end what uses it.",
        ) from error
    return listening


def _url(host: str, listening: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}"
