"""Two ways to build an image from a Dockerfile: Docker, and buildah where there is no Docker engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from infra.package_index import PackageIndex

SUITE, PYTHON = "bookworm", "python3,python3-venv,ca-certificates"
COMPILER = "apt-get update && apt-get install --yes --no-install-recommends g++ python3-dev && apt-get clean"
BASE, BUILDER = "lookalike-base", "lookalike-builder"


class MissingTool(Exception):
    """A tool that builds images is not installed, or failed."""


class Builder(Protocol):
    """Builds images, and runs their entry points."""

    title: str

    def prepare(self) -> None:
        """Prepare what all builds need. Raises MissingTool."""

    def build(self, context: Path, dockerfile: str, name: str, arguments: Mapping[str, str]) -> None:
        """Build the image `name`, with these arguments of its Dockerfile. Raises MissingTool."""

    def added_bytes(self, name: str) -> int:
        """Bytes of the image that are not its base's, uncompressed."""

    def command(self, name: str, variables: Sequence[str]) -> list[str]:
        """The command that starts the image's entry point on this machine's network; its last argument is the
        handler.

        Args:
            name: of the image.
            variables: names of the caller's environment variables that the function gets.
        """

    def server_command(self, name: str, store: Path) -> list[str]:
        """The command that runs the server of an image on this machine's network, in the foreground.

        Args:
            name: of the image.
            store: folder that becomes its volume; it must belong to the image's user. The rest is read-only.
        """

    def close(self) -> None:
        """Remove the containers that ran images."""


@dataclass(slots=True)
class Docker:
    """The Docker engine of this machine."""

    title: str = "Docker"
    _bases: dict[str, str] = field(default_factory=dict)

    @classmethod
    def here(cls) -> Docker | None:
        """The engine, if one is running."""
        program = shutil.which("docker")
        if not program:
            return None
        answer = subprocess.run([program, "version"], capture_output=True, check=False)  # noqa: S603
        return cls() if answer.returncode == 0 else None

    def prepare(self) -> None:
        """See `Builder`: Docker fetches the base image."""

    def build(self, context: Path, dockerfile: str, name: str, arguments: Mapping[str, str]) -> None:
        """See `Builder`."""
        with PackageIndex.of_this_machine() as index:
            options = ["--provenance=false", "--secret", f"id=pip,src={index.file}", *_given(arguments)]
            run(["docker", "build", *options, "--tag", tag(name), "--file", dockerfile, "."], context)
        self._bases[name] = base_of(context / dockerfile)

    def added_bytes(self, name: str) -> int:
        """See `Builder`."""
        return self._size(tag(name)) - self._size(self._bases[name])

    def command(self, name: str, variables: Sequence[str]) -> list[str]:
        """See `Builder`."""
        passed = [part for variable in variables for part in ("--env", variable)]
        return ["docker", "run", "--rm", "--network=host", *passed, tag(name)]

    def server_command(self, name: str, store: Path) -> list[str]:
        """See `Builder`."""
        safe = ["--read-only", "--tmpfs", "/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"]  # noqa: S108
        return ["docker", "run", "--rm", "--network=host", *safe, "--volume", f"{store}:/data", tag(name)]

    def close(self) -> None:
        """See `Builder`: its containers remove themselves."""

    def _size(self, image: str) -> int:
        return int(run(["docker", "image", "inspect", "--format", "{{.Size}}", image]))


@dataclass(slots=True)
class Buildah:
    """Debian's buildah, which needs no engine, on a base that debootstrap makes.

    Attributes:
        folder: where images are kept.
    """

    folder: Path
    title: str = f"buildah, on Debian {SUITE} by debootstrap"
    _containers: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [tool for tool in ("buildah", "debootstrap") if not shutil.which(tool)]
        if missing:
            raise MissingTool(
                f"images need Docker, or {' and '.join(missing)}: apt-get install buildah debootstrap"
            )
        if os.geteuid() != 0:
            raise MissingTool("without Docker, images are built by root: debootstrap needs it")

    def prepare(self) -> None:
        """See `Builder`: the replacement for the base image, and the same with a compiler."""
        self.folder.mkdir(parents=True, exist_ok=True)
        there = self._run("images", "--format", "{{.Name}}").split()
        if f"localhost/{BASE}" not in there:
            with tempfile.TemporaryDirectory(dir=self.folder) as target:
                run(["debootstrap", "--variant=minbase", f"--include={PYTHON}", SUITE, target])
                container = self._run("from", "scratch").strip()
                self._run("add", container, target, "/")
            self._commit(container, BASE)
        if f"localhost/{BUILDER}" not in there:
            container = self._run("from", BASE).strip()
            self._run("run", "--isolation", "chroot", container, "--", "sh", "-c", COMPILER)
            self._commit(container, BUILDER)

    def build(self, context: Path, dockerfile: str, name: str, arguments: Mapping[str, str]) -> None:
        """See `Builder`."""
        with PackageIndex.of_this_machine(self.folder / "pip" / name) as index:
            options = ["--layers=false", *_given({"BASE": BASE, "BUILDER": BUILDER, **arguments})]
            options += ["--secret", f"id=pip,src={index.file}"]
            for path in index.folders:
                options += ["--volume", f"{path}:{path}:{'rw' if path == index.cache else 'ro'}"]
            options += ["--isolation", "chroot", "--tag", tag(name), "--file", dockerfile, "."]
            self._run("bud", *options, folder=context)

    def added_bytes(self, name: str) -> int:
        """See `Builder`: counted file by file in the image."""
        return _bytes_below(self._unpacked(tag(name))) - _bytes_below(self._unpacked(BASE))

    def command(self, name: str, variables: Sequence[str]) -> list[str]:
        """See `Builder`. `buildah run` would do the same but takes a second longer to search its store."""
        return ["unshare", "--mount", "sh", "-c", ENTER, str(self._unpacked(tag(name)))]

    def server_command(self, name: str, store: Path) -> list[str]:
        """See `Builder`."""
        return ["unshare", "--mount", "sh", "-c", ENTER_SERVER, str(self._unpacked(tag(name))), str(store)]

    def close(self) -> None:
        """Remove the containers that ran images."""
        for container, _ in self._containers.values():
            self._run("rm", container)
        self._containers.clear()
        self._run("rmi", "--prune")  # images that had the same names before

    def _commit(self, container: str, name: str) -> None:
        self._run("commit", container, name)
        self._run("rm", container)

    def _unpacked(self, image: str) -> Path:
        """The files of an image, in a container that is created once."""
        if image not in self._containers:
            container = self._run("from", image).strip()
            self._containers[image] = (container, self._run("mount", container).strip())
        return Path(self._containers[image][1])

    def _run(self, verb: str, *arguments: str, folder: Path | None = None) -> str:
        return run([*self._buildah(verb), *arguments], folder)

    def _buildah(self, verb: str) -> list[str]:
        places = ["--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run")]
        return ["buildah", "--storage-driver", "vfs", *places, verb]


ENTER = """
mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" &&
exec chroot --userspec=nobody:nogroup "$0" /usr/bin/env --chdir=/var/task --unset=PYTHONPATH \
  PATH=/opt/venv/bin:/usr/bin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 \
  /opt/venv/bin/python -m awslambdaric "$1"
"""
"""Starts the entry point in an unpacked image, in its own mount namespace, as the image's user."""


ENTER_SERVER = """
mount --bind "$0" "$0" && mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" &&
mount -t tmpfs -o mode=1777 tmpfs "$0/tmp" && mount --bind "$1" "$0/data" &&
mount -o remount,ro,bind "$0" &&
exec chroot --userspec=10001:10001 "$0" /usr/bin/env --ignore-environment \
  PATH=/opt/venv/bin:/usr/bin:/bin HOME=/tmp XDG_CACHE_HOME=/tmp/cache LOOKALIKE_STORE=/data LANG=C.UTF-8 \
  PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
  lookalike serve --host 0.0.0.0 --first-key --encoder /opt/lookalike/encoder
"""
"""The same for the server's image, with the environment and the command of its Dockerfile."""


def _given(arguments: Mapping[str, str]) -> list[str]:
    """Options that pass `arguments` to a build."""
    return [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]


def tag(name: str) -> str:
    """The local tag of an image."""
    return f"lookalike-{name}"


def base_of(dockerfile: Path) -> str:
    """The default base image of a Dockerfile."""
    lines = dockerfile.read_text("utf-8").splitlines()
    return next(line.removeprefix("ARG BASE=") for line in lines if line.startswith("ARG BASE="))


def _bytes_below(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def run(command: Sequence[str], folder: Path | None = None) -> str:
    """Run a command; return its output. Raises MissingTool with the end of the output."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise MissingTool(f"{' '.join(command[:8])} … failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout
