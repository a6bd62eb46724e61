"""The time to a first result on a new machine: `python -m bench.first_run`.

Clones the last commit of this repository into a temporary folder, runs `make demo` there with empty caches of
uv, pip and npm, and prints where the time went and what it takes on disk. Needs git and a package index.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
STEPS = (
    # What a line of the output starts with or contains, and the step that begins with it.
    ("Installing the packages", "download the packages, compile annoy and pdqhash"),
    ("Bytecode compiled", "compile bytecode, install lookalike"),
    ("fetching", "fetch the images"),
    ("loading", "build the encoder"),
    ("made efficientnet", "index and search"),
)
FIRST_STEP = "create the environment"


@dataclass(frozen=True, slots=True)
class Step:
    """One step, and how long it took."""

    name: str
    seconds: float


def run(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[tuple[float, str]]:
    """Lines of a command's output as they come, with the seconds since it was started."""
    started = time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield time.monotonic() - started, line
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    yield time.monotonic() - started, ""


def measure(folder: Path, caches: Path) -> tuple[list[Step], str]:
    """Run the demo in a clone; returns its steps and what it printed."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")},
        "DEMO_SERVE": "0",
        "UV_CACHE_DIR": str(caches / "uv"),
        "PIP_NO_CACHE_DIR": "1",
        "npm_config_cache": str(caches / "npm"),
        "XDG_CACHE_HOME": str(caches / "other"),
    }
    steps: list[Step] = []
    name, since, at, left = FIRST_STEP, 0.0, 0.0, list(STEPS)
    printed = []
    for at, line in run(["make", "demo"], folder, environment):
        printed.append(line)
        if left and left[0][0] in line:
            steps.append(Step(name, at - since))
            name, since = left.pop(0)[1], at
    return [*steps, Step(name, at - since)], "".join(printed)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="lookalike-first-run-") as scratch:
        clone = Path(scratch) / "lookalike"
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
        steps, printed = measure(clone, Path(scratch) / "caches")
        size = sum(file.lstat().st_blocks for file in clone.rglob("*")) * 512
        packages = [entry.name for entry in (clone / ".venv").glob("lib/python*/site-packages/*")]
    sys.stdout.write(printed)
    print(f"\n{'step':<52} seconds")
    for step in steps:
        print(f"{step.name:<52} {step.seconds:7.1f}")
    print(f"{'in all':<52} {sum(step.seconds for step in steps):7.1f}")
    print(f"on disk: {size / 1e9:.2f} GB; TensorFlow installed: {'tensorflow' in packages}")


if __name__ == "__main__":
    main()
