"""Indexing rate of `lookalike index`, from a folder of photos to a snapshot: `python -m bench.indexing`.

The default encoder is built beforehand and not counted; copying, decoding, hashing, encoding, committing
and the first snapshot are. A second run over the same folder shows what resuming costs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(os.environ.get("LOOKALIKE_DATA", "../shared/data"))


def run_index(source: Path, store: Path) -> tuple[float, dict[str, object]]:
    """Seconds and the report of one `lookalike index` in a separate process."""
    command = [sys.executable, "-m", "lookalike.cli", "index", str(source), "--collection", "bench"]
    started = time.perf_counter()
    ran = subprocess.run(
        [*command, "--store", str(store), "--json"], check=True, capture_output=True, text=True
    )
    return time.perf_counter() - started, json.loads(ran.stdout)


def main(argv: list[str] | None = None) -> int:
    """Index one folder twice into a fresh store and print both rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=DATA / "clothing")
    source: Path = parser.parse_args(argv).source
    if not source.is_dir():
        print(f"no photos at {source}: set LOOKALIKE_DATA, or pass --source FOLDER")
        return 1
    photos = sum(path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"} for path in source.rglob("*"))
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        build = [sys.executable, "-m", "lookalike.cli", "encoders", "build", "--calibrate", str(source)]
        subprocess.run([*build, "--store", str(store)], check=True, capture_output=True)
        print(f"{'run':8} {'photos':>8} {'seconds':>8} {'photos/s':>9}")
        for name in ("first", "again"):
            seconds, _ = run_index(source, store)
            print(f"{name:8} {photos:8,} {seconds:8.1f} {photos / seconds:9.0f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
