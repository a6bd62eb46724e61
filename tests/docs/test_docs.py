"""Every command in the documentation runs, and every link in it leads somewhere.

A fenced block marked `console` is a session: lines that start with `$ ` are run, in order, in one fresh
folder per page. What a page may rely on: a folder `photos/` with pictures in category folders and a
`metadata.csv`, a picture `query.jpg`, and a store that has the default encoder. Blocks marked `json filter`
are parsed as filters.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.encoders import Encoders
from lookalike.filters import parse_filter
from lookalike.storage import Store

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


def blocks(page: Path, kind: str) -> list[str]:
    found = FENCE.finditer(page.read_text("utf-8"))
    return [match["body"] for match in found if match["kind"].strip() == kind]


def commands(page: Path) -> list[str]:
    lines = "".join(blocks(page, "console")).replace("\\\n", " ").splitlines()
    return [line[2:] for line in lines if line.startswith("$ ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.stem)
def test_commands_run(page: Path, documented_folder: Path) -> None:
    environment = {
        **os.environ,
        "LOOKALIKE_STORE": "store",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "120",
    }
    for command in commands(page):
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=documented_folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ran.returncode == 0, f"{page.name}: $ {command}\n{ran.stdout}\n{ran.stderr}"


def test_the_documented_layers_are_the_enforced_ones() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = "\n".join(contracts[0]["layers"])
    assert f"```\n{layers}\n```" in (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_filters_in_the_documentation_are_filters() -> None:
    examples = [json.loads(body) for page in PAGES for body in blocks(page, "json filter")]
    assert len(examples) >= 3
    for example in examples:
        parse_filter(example)


@pytest.fixture
def documented_folder(tmp_path: Path, default_encoder_folder: Path) -> Path:
    """What the pages say a reader has: pictures, their metadata, a picture to ask with, an encoder."""
    random = np.random.default_rng(0)
    rows = ["file,title,product_id,price,brand"]
    for category, colour in (("shoes", (180, 40, 40)), ("hats", (40, 60, 180))):
        folder = tmp_path / "photos" / category
        folder.mkdir(parents=True)
        for number in range(30):
            noise = random.integers(-30, 30, (8, 8, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).resize((96, 96)).save(folder / f"{number}.jpg")
            brand = ("Ama", "Bolt")[number % 2]
            name, product = f"{category}/{number}.jpg", f"{category}-{number // 2}"
            rows.append(f"{name},{category} {number},{product},{10 + number},{brand}")
    (tmp_path / "photos" / "metadata.csv").write_text("\n".join(rows) + "\n", "utf-8")
    shutil.copy(tmp_path / "photos" / "shoes" / "0.jpg", tmp_path / "query.jpg")
    Encoders(Store(str(tmp_path / "store" / "artifacts"))).add(default_encoder_folder)
    return tmp_path
