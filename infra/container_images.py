"""Builds the images and boots each: `python -m infra.container_images [query] [ingest] [training] [server]`.

Uses Docker if it is installed. Otherwise it uses Debian's `buildah`, on a replacement for the base image that
`debootstrap` makes: the same Debian and the same Python, from packages, kept in the user's cache. Each
function is then booted inside its image: the runtime client requests an event from a Runtime API on loopback.
It prints the size that each image adds to its base. The exit code is not 0 if an image is too large or does
not start.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from infra.booting import boot
from infra.container_builder import Buildah, Builder, Docker, MissingTool
from infra.image_table import IMAGES
from infra.server_check import check_server
from lookalike.settings import cache_folder

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 1_000_000


SERVER = "server"


@dataclass(frozen=True, slots=True)
class Built:
    """One image, built and booted; `boot_seconds` the slowest time from start to the first request for an
    event; of a server, with images that are indexed already.
    `first_seconds`: of a server with an empty store, which gets its encoder and a key."""

    name: str
    added_megabytes: float
    limit_megabytes: int | None
    build_seconds: float
    boot_seconds: float | None
    first_seconds: float | None = None

    @property
    def fits(self) -> bool:
        """Whether it is within the limit."""
        return self.limit_megabytes is None or self.added_megabytes <= self.limit_megabytes

    def row(self) -> str:
        """A row of the table."""
        limit = f"{self.limit_megabytes}" if self.limit_megabytes else "–"
        booted = "–" if self.boot_seconds is None else f"{self.boot_seconds:.1f}"
        if self.first_seconds is not None:
            booted += f" (with an empty store {self.first_seconds:.1f})"
        return f"| {self.name} | {self.added_megabytes:.0f} | {limit} | {self.build_seconds:.0f} | {booted} |"


HEAD = "| image | adds to its base, MB | limit | built in, s | slowest start, s |\n|---|---|---|---|---|"


def builder() -> Builder:
    """The builder of this machine. Raises MissingTool."""
    found = Docker.here()
    return found or Buildah(cache_folder(os.environ) / "images")


def build(tool: Builder, name: str) -> float:
    """Build one image; returns the seconds. Raises MissingTool."""
    started = time.monotonic()
    tool.build(ROOT, IMAGES[name].dockerfile, name, IMAGES[name].arguments)
    return time.monotonic() - started


def check(tool: Builder, name: str, build_seconds: float) -> Built:
    """Boot the functions of an image, and measure the time. Raises MissingTool."""
    image = IMAGES[name]
    boots = [boot(tool, name, handler) for handler in image.handlers]
    added = tool.added_bytes(name) / MEGABYTE
    if name == SERVER:
        checked = check_server(tool, name)
        times = checked.indexed_seconds, checked.first_seconds
        return Built(name, added, image.limit_megabytes, build_seconds, *times)
    return Built(name, added, image.limit_megabytes, build_seconds, max(boots, default=None))


def make(tool: Builder, names: Sequence[str]) -> list[Built]:
    """Build images, in parallel on all processors, and check each."""
    tool.prepare()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        seconds = list(pool.map(lambda name: build(tool, name), names))
    return [check(tool, name, took) for name, took in zip(names, seconds, strict=True)]


def main(names: Sequence[str]) -> int:
    """Build images, print the table."""
    unknown = sorted(set(names) - set(IMAGES))
    if unknown:
        sys.stderr.write(f"unknown image: {', '.join(unknown)}; expected {', '.join(IMAGES)}\n")
        return 2
    try:
        tool = builder()
        try:
            built = make(tool, names or list(IMAGES))
        finally:
            tool.close()
    except MissingTool as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"Built by {tool.title}.\n{HEAD}\n")
    for each in built:
        sys.stdout.write(f"{each.row()}\n")
    large = [each.name for each in built if not each.fits]
    if large:
        sys.stderr.write(f"too large: {', '.join(large)}\n")
    return 1 if large else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
