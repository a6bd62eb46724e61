"""`kill -9` of the server that runs a training, and of the training's process: it resumes, each time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from fixtures.classes import write_classes
from fixtures.command import Command
from fixtures.server import add_encoder, eventually

from lookalike.settings import Settings

NAME = "shapes"
OPTIONS = {"source": "collection", "views": 2, "epochs": 4, "dimension": 32}
PATIENCE_SECONDS = 900
SERVE = """
import os, sys
from lookalike.local import serve
from lookalike.settings import Settings
serve(Settings.from_env(os.environ), port=0, announce=lambda url: print(url, flush=True))
"""


@pytest.fixture
def settings(tmp_path: Path, tiny_encoder_folder: Path) -> Settings:
    """A store with a collection in it."""
    found = Settings(store=str(tmp_path / "store"), refresh_seconds=0.1)
    add_encoder(found, tiny_encoder_folder)
    write_classes(tmp_path / "photos", 8)
    Command(tmp_path / "store", tmp_path).run("index", tmp_path / "photos", "--collection", NAME)
    return found


@contextmanager
def served(settings: Settings, home: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    environment = {**os.environ, **settings.to_env(), "XDG_CACHE_HOME": str(home / "cache")}
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout
            with httpx.Client(base_url=server.stdout.readline().strip(), timeout=60) as client:
                yield server, client
        finally:
            server.kill()


def training(client: httpx.Client, training_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/collections/{NAME}/trainings/{training_id}").json()
    return found


def begun(client: httpx.Client) -> str:
    """A training that has come as far as to compute something."""
    asked = client.post(f"/collections/{NAME}/trainings", json=OPTIONS)
    assert asked.status_code == 202, asked.text
    training_id = str(asked.json()["training"]["id"])
    eventually(lambda: training(client, training_id)["total"] > 0, seconds=PATIENCE_SECONDS)
    return training_id


def ended(client: httpx.Client, training_id: str) -> dict[str, Any]:
    eventually(lambda: training(client, training_id)["finished_at"], seconds=PATIENCE_SECONDS)
    return training(client, training_id)


def log(client: httpx.Client, training_id: str) -> list[str]:
    lines = client.get(f"/collections/{NAME}/trainings/{training_id}/log").json()["lines"]
    return [line["message"] for line in lines]


def test_after_a_kill_of_the_server_and_one_of_its_process_it_is_finished(
    settings: Settings, tmp_path: Path
) -> None:
    with served(settings, tmp_path) as (server, client):
        training_id = begun(client)
        family = psutil.Process(server.pid).children(recursive=True)
        server.kill()
        # Nothing of it works on without the server.
        _, left = psutil.wait_procs(family, timeout=60)
        assert left == []
    with served(settings, tmp_path) as (server, client):
        # The server that is back resumes it by itself.
        worker = eventually(lambda: training_process(server), seconds=PATIENCE_SECONDS)
        assert log(client, training_id).count("running: preparing") == 2
        orphans = worker.children(recursive=True)
        worker.send_signal(signal.SIGKILL)
        found = ended(client, training_id)
        assert found["status"] == "succeeded", found
        messages = log(client, training_id)
        assert messages.count("its process died; it resumes") == 1
        assert messages.count("running: preparing") == 3
        assert not any(orphan.is_running() and orphan.status() != "zombie" for orphan in orphans)
        assert client.post(f"/collections/{NAME}/search", json={"id": "disc/000.png"}).status_code == 200


def training_process(server: subprocess.Popen[str]) -> psutil.Process | None:
    """The process that the server runs a training in, once that has begun to compute: it has a child then."""
    for process in psutil.Process(server.pid).children():
        if "lookalike.local.training_process" in process.cmdline() and process.children():
            return process
    return None
