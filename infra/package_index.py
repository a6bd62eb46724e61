"""Where pip finds packages on this machine, for tools that do not read pip's configuration.

An image's build gets the settings as a secret, so that they are not written into the image. `make` runs this
file as a script, which prints it for uv as lines of a shell. Only pip is installed then, so this file imports
nothing but the standard library.
"""

from __future__ import annotations

import configparser
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PASSED = ("index-url", "extra-index-url", "find-links", "trusted-host", "cert", "timeout")
OTHER_NAMES = {"default-timeout": "timeout"}
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "constraint": "UV_CONSTRAINT",
    "no-index": "UV_NO_INDEX",
}


@dataclass(frozen=True, slots=True)
class PackageIndex:
    """pip's settings for one build.

    Attributes:
        file: a `pip.conf`, which exists during the build.
        folders: paths on this machine in the settings: certificates, an index on disk, the cache.
        cache: the writable one of them; None: nothing is cached between builds.
    """

    file: Path
    folders: tuple[Path, ...]
    cache: Path | None

    @classmethod
    @contextmanager
    def of_this_machine(cls, cache: Path | None = None) -> Iterator[PackageIndex]:
        """The settings of this machine's pip; with `cache`, downloads are kept there."""
        settings = _settings(PASSED)
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


def uv_environment() -> dict[str, str]:
    """Variables with which uv finds the packages that pip finds; those already set are left out."""
    found = {UV_NAMES[option]: value for option, value in _settings(UV_NAMES).items()}
    if "UV_FIND_LINKS" in found:  # the only list that uv separates by commas
        found["UV_FIND_LINKS"] = ",".join(found["UV_FIND_LINKS"].split())
    # As pip does: the newest version of all indexes, not the first index that has the name.
    found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in found.items() if name not in os.environ}


def _settings(passed: Collection[str]) -> dict[str, str]:
    """The values of the options `passed` in `pip config list`; the environment overrides the files."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        option = OTHER_NAMES.get(option, option)
        if option in passed:
            found[option] = value.strip("'\"").replace("\\n", " ")
    return found


def _folders(settings: Mapping[str, str]) -> set[Path]:
    """Files and folders of this machine among the settings' values."""
    found = set()
    for value in settings.values():
        for word in value.split():
            # An index on disk has paths to files outside its own folder.
            path = Path(urlsplit(word).path).parent if word.startswith("file:") else Path(word)
            if path.is_absolute() and path.exists() and path != Path("/"):
                found.add(path)
    return found


def main() -> None:
    """Print `uv_environment` for `eval` in a shell."""
    for name, value in uv_environment().items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


if __name__ == "__main__":
    main()
