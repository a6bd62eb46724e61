"""Where pip finds packages on this machine, handed to a build without being written into an image."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PASSED = ("index-url", "extra-index-url", "find-links", "trusted-host", "cert", "timeout")


@dataclass(frozen=True, slots=True)
class PackageIndex:
    """pip's settings for one build.

    Attributes:
        file: a `pip.conf`, which lives as long as the build.
        folders: places of this machine that the settings name: certificates, an index on disk, the cache.
        cache: the one of them that may be written; None: nothing is kept between builds.
    """

    file: Path
    folders: tuple[Path, ...]
    cache: Path | None

    @classmethod
    @contextmanager
    def of_this_machine(cls, cache: Path | None = None) -> Iterator[PackageIndex]:
        """The settings of this machine's pip; with `cache`, downloads are kept there."""
        settings = _settings()
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
            settings["cache-dir"] = str(cache)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pip.conf"
            config = configparser.RawConfigParser()
            config["global"] = settings
            with file.open("w", encoding="utf-8") as out:
                config.write(out)
            yield cls(file, tuple(sorted(_folders(settings))), cache)


def _settings() -> dict[str, str]:
    """What `pip config list` says, and the environment over the files."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option in PASSED:
            found[option] = value.strip("'\"").replace("\\n", " ")
    return found


def _folders(settings: Mapping[str, str]) -> set[Path]:
    """Files and folders of this machine among the settings' values."""
    found = set()
    for value in settings.values():
        for word in value.split():
            # An index on disk names its files by paths that lead out of its own folder.
            path = Path(urlsplit(word).path).parent if word.startswith("file:") else Path(word)
            if path.is_absolute() and path.exists() and path != Path("/"):
                found.add(path)
    return found
