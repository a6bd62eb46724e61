"""schemathesis over the whole OpenAPI: no 5xx, and nothing that is not documented."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.repetition import seeded, times
from fixtures.server import add_encoder, jpeg, running

from lookalike.api.keys import Keys
from lookalike.settings import Settings
from lookalike.storage import Store

CHECKS = (
    "no_failure",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "allow_header_conformance",
    "unsupported_method",
    "negative_data_rejection",
    "ignored_auth",
)


EXAMPLES = times(4, soak=48)  # of each operation and phase
# Keys change who is answered, not what: every boundary value need not be tried once more.
PHASES = {False: "examples,coverage,fuzzing,stateful", True: "examples,fuzzing"}


@pytest.fixture(params=["open", "with keys"])
def served(request, tmp_path, tiny_encoder_folder):
    """A server with the collection that the description's examples are about, and a header to reach it."""
    settings = Settings(store=str(tmp_path))
    add_encoder(settings, tiny_encoder_folder)
    headers = {}
    if request.param == "with keys":
        headers = {"Authorization": f"Bearer {Keys(Store.artifacts(settings)).create('fuzz').key}"}
    with running(settings, keys_required=bool(headers)) as server:
        server.client.headers.update(headers)
        server.create("fashion")
        pictures = {f"shoes/000{number}.jpg": jpeg(number) for number in range(1, 5)}
        metadata = {name: {"price": 20 + seed, "brand": "ab"[seed % 2]} for seed, name in enumerate(pictures)}
        server.upload("fashion", pictures, **metadata)
        server.wait_for("fashion", *pictures)
        yield server, headers


def test_every_answer_is_documented_and_none_is_a_failure(served, tmp_path):
    server, headers = served
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
        *("--checks", ",".join(CHECKS), "--phases", PHASES[bool(headers)]),
        *("--max-examples", str(EXAMPLES), "--seed", str(seeded(1)), "--continue-on-failure"),
        *("--generation-database", "none"),
        *(part for name, value in headers.items() for part in ("--header", f"{name}: {value}")),
    ]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
        "PYTHONPATH": str(Path(__file__).parent),
        "NO_COLOR": "1",
    }
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    tested = done.stdout.partition("Tested:")[2].split()[0]
    documented = server.client.get("/openapi.json").json()["paths"].values()
    assert int(tested) == sum(len(operations) for operations in documented)
