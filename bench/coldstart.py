"""Cold start: a fresh process to its first answer over HTTP's app: `python -m bench.coldstart`.

Each run is a new process that imports the app, opens the store, and answers one search with the bytes of a
640-px JPEG. Time counts from the start of the process, the interpreter's own start included; memory is the
resident set after the answer, and the highest it ever was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from bench.stage import CLOTHING, add_default_encoder, multipart, photos, post, query_jpeg
from lookalike.settings import Settings

NAME = "clothing"
RUNS = 9
TARGET_SECONDS = 1.2
TARGET_MB = 350
STEPS = ("interpreter", "imports", "app", "first answer", "in all")
ABSENT = ("tensorflow", "lance", "pyarrow.compute", "boto3")


def child(store: str, query: str, started: float) -> None:
    """The measured process: answer once, print what each step took."""
    marks = [started, time.time()]
    from lookalike.api.app import create_app
    from lookalike.api.service import Service
    from lookalike.encoders import Encoders
    from lookalike.storage import Store

    marks.append(time.time())
    settings = Settings(store=store, threads=1)
    service = Service(settings, Encoders(Store.artifacts(settings)), Path(store) / "cache")
    app = create_app(service, keys=None)
    marks.append(time.time())
    body, content_type = multipart(Path(query).read_bytes())
    status, answer = asyncio.run(post(app, f"/collections/{NAME}/search", body, content_type))
    marks.append(time.time())
    assert status == 200, answer[:500]
    lines = Path("/proc/self/status").read_text().splitlines()
    memory = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith("Vm")}
    print(
        json.dumps(
            {
                "seconds": [after - before for before, after in pairwise(marks)],
                "resident": memory["VmRSS"],
                "highest": memory["VmHWM"],
                "loaded": [name for name in ABSENT if name in sys.modules],
                "results": len(json.loads(answer)["results"]),
            }
        )
    )


def measure(store: str, query: str) -> dict[str, object]:
    """One fresh process."""
    # Compiled files are what an installed package has; without them each start would compile everything.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "bench.coldstart", "--child", store, query, repr(time.time())]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, object] = json.loads(ran.stdout)
    return found


def report(runs: list[dict[str, object]]) -> None:
    """Print medians, slowest, memory, and what was not loaded."""
    seconds = [list(map(float, run["seconds"])) for run in runs]  # type: ignore[call-overload]
    rows = [*zip(*seconds, strict=True), tuple(map(sum, seconds))]
    print(f"{'step':14} {'median s':>9} {'slowest s':>10}")
    for step, took in zip(STEPS, rows, strict=True):
        print(f"{step:14} {statistics.median(took):9.2f} {max(took):10.2f}")
    resident = max(float(str(run["resident"])) for run in runs)
    highest = max(float(str(run["highest"])) for run in runs)
    print(f"\nresident {resident:.0f} MB after the answer, {highest:.0f} MB at the highest")
    loaded = sorted({name for run in runs for name in run["loaded"]})  # type: ignore[attr-defined]
    print(f"loaded of {', '.join(ABSENT)}: {', '.join(loaded) or 'none'}")
    print(f"targets: ≤ {TARGET_SECONDS} s in all, ≤ {TARGET_MB} MB, no tensorflow")


def main(argv: list[str] | None = None) -> int:
    """Index the photos once, then start processes one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=3, metavar=("STORE", "QUERY", "STARTED"), help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.child:
        store, query, started = given.child
        child(store, query, float(started))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        found = photos(scratch / "photos")
        source = CLOTHING if found[0].is_relative_to(CLOTHING) else scratch / "photos"
        settings = Settings(store=str(scratch / "store"))
        add_default_encoder(settings, found)
        index = [sys.executable, "-m", "lookalike.cli", "index", str(source), "--collection", NAME]
        subprocess.run([*index, "--store", settings.store], check=True, capture_output=True)
        (scratch / "query.jpg").write_bytes(query_jpeg(found[0]))
        measure(settings.store, str(scratch / "query.jpg"))  # compiles what was not compiled yet
        print(f"{len(found):,} photos, {RUNS} processes\n", flush=True)
        report([measure(settings.store, str(scratch / "query.jpg")) for _ in range(RUNS)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
