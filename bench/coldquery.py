"""A cold start of the query function, measured from outside and broken down by its own trace.

`measure` starts one process with any command, so that it also works inside an image, sends it one search by
the bytes of an image, and waits for the response.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.aws_emulator.api_gateway import form_request, json_of
from tests.aws_emulator.lambda_process import LambdaProcess
from tests.aws_emulator.xray_daemon import TraceDaemon

HANDLER = "lambdas.query.handler.handler"
COMMAND = (sys.executable, "-m", "awslambdaric")
SETTLE_SECONDS = 0.3
SPANS = {
    "pointer": ("read pointer", "read manifests"),
    "download": ("download snapshot", "download encoder"),
    "load": ("load snapshot", "load encoder"),
    "changes": ("look for changes", "read changes"),
    "first encode": ("encode",),
    "search": ("find",),
}
"""Step → spans of the trace. Snapshot and encoder are fetched in parallel, so their steps overlap."""
STEPS = ("imports", *SPANS, "all else", "total")


def measure(
    environment: Mapping[str, str],
    picture: bytes,
    *,
    collection: str,
    key: str,
    command: Sequence[str] = COMMAND,
    folder: Path | None = None,
) -> dict[str, float]:
    """Seconds of each of `STEPS` in a process that is started for it.

    Args:
        environment: of the function; its cache folder must be empty.
        picture: a JPEG to search with.
        collection: where.
        key: an API key that may read.
        command: starts the process; the handler's name is added.
        folder: where it starts.
    """
    event = form_request(
        f"/collections/{collection}/search", picture, {}, headers={"authorization": f"Bearer {key}"}
    )
    with TraceDaemon() as daemon:
        variables = {**environment, "AWS_XRAY_DAEMON_ADDRESS": daemon.address}
        with LambdaProcess(HANDLER, variables, command=command, folder=folder) as process:
            answer = process.invoke(event)
            ended = time.time()
            assert json_of(answer)["results"], "nothing was found"
            assert process.ready_at is not None
            started, ready = process.started_at, process.ready_at
            time.sleep(SETTLE_SECONDS)  # the last span is on its way
        return _broken_down(daemon.spans, started, ready, ended)


def _broken_down(
    spans: Sequence[Mapping[str, Any]], started: float, ready: float, ended: float
) -> dict[str, float]:
    found = {"imports": ready - started}
    for step, names in SPANS.items():
        times = [(span["start_time"], span["end_time"]) for span in spans if span["name"] in names]
        found[step] = _covered(times)
    named = [name for names in SPANS.values() for name in names]
    everything = [(span["start_time"], span["end_time"]) for span in spans if span["name"] in named]
    found["all else"] = ended - ready - _covered(everything)
    found["total"] = ended - started
    return found


def _covered(times: Sequence[tuple[float, float]]) -> float:
    """Length of the union of some spans of time."""
    covered, until = 0.0, float("-inf")
    for began, ended in sorted(times):
        covered += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return covered
