"""Builds sdist and wheel, and uses the wheel as a new user would: `python -m infra.wheel_check`.

In a fresh environment with the packages of `requirements/demo.lock` and the wheel's extra `local`: the
version, an index of drawn photos with the default encoder, a search, and a server that answers. The wheel
stays in `dist`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

from infra.package_index import uv_environment

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = 20
UV = str(Path(sys.executable).with_name("uv"))


def main() -> int:
    """Build, install, use; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="lookalike-wheel-") as scratch:
        folder = Path(scratch)
        _run([UV, "build", "--quiet", "--out-dir", str(ROOT / "dist"), str(ROOT)])
        wheel = max((ROOT / "dist").glob("*.whl"), key=lambda file: file.stat().st_mtime)
        python = folder / "venv" / "bin" / "python"
        _run([sys.executable, "-m", "venv", str(folder / "venv")])
        lock = ROOT / "requirements" / "demo.lock"
        install = [UV, "pip", "install", "--quiet", "--python", str(python)]
        _run([*install, "--no-deps", "--require-hashes", "--requirement", str(lock)])
        # With its dependencies, to see that the lock has all of them: nothing is left to install.
        _run([*install, "--offline", f"{wheel}[local]"])
        _use(folder, python.with_name("lookalike"))
        print(f"{wheel.relative_to(ROOT)}: {wheel.stat().st_size / 1e6:.2f} MB, installed and used")
    return 0


def _use(folder: Path, command: Path) -> None:
    photos = folder / "photos" / "drawn"
    photos.mkdir(parents=True)
    for seed in range(PHOTOS):
        blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(blocks).resize((200, 200)).save(photos / f"{seed}.png")
    here = {"PATH": "/usr/bin:/bin", "HOME": _home_of(folder), "LOOKALIKE_STORE": str(folder / "store")}

    def lookalike(*arguments: str) -> str:
        return _run([str(command), *arguments], here, folder)

    print(lookalike("--version").strip())
    indexed = json.loads(lookalike("index", "photos", "--collection", "drawn", "--json"))
    found = json.loads(
        lookalike("search", "photos/drawn/7.png", "--collection", "drawn", "-k", "1", "--json")
    )
    best = found["results"][0]["id"]
    if (indexed["encoded"], best) != (PHOTOS, "drawn/7.png"):
        raise SystemExit(f"expected {PHOTOS} images and drawn/7.png, got {indexed['encoded']} and {best}")
    serve = [str(command), "serve", "--port", "0", "--json"]
    with subprocess.Popen(serve, env=here, cwd=folder, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
        try:
            assert server.stdout is not None
            url = json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")["url"]
            urllib.request.urlopen(f"{url}/health", timeout=60).close()  # noqa: S310  # loopback
        finally:
            server.terminate()


def _home_of(folder: Path) -> str:
    """A separate home folder, so that nothing of this user's is found."""
    home = folder / "home"
    home.mkdir()
    return str(home)


def _run(command: list[str], environment: dict[str, str] | None = None, folder: Path = ROOT) -> str:
    """Run a command; returns its output."""
    plain = {name: value for name, value in os.environ.items() if name != "UV_CONSTRAINT"}
    found = {name: value for name, value in uv_environment().items() if name != "UV_CONSTRAINT"}
    ran = subprocess.run(  # noqa: S603  # our own commands
        command,
        env=environment or {**plain, **found},
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {ran.returncode}")
    return ran.stdout


if __name__ == "__main__":
    sys.exit(main())
