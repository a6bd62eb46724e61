"""Every command in the documentation runs, every link resolves, and every table matches the code.

In a fenced block marked `console`, lines that start with `$ ` run in order, in a new folder for each page. A
page may use a folder `photos/` with images in category folders and a `metadata.csv`, an image `query.jpg`,
and a store with the default encoder. Blocks marked `json filter` are parsed as filters.

The first line with a command of `lookalike` runs as a process. Later lines call the same command in this
process, which saves the start of Python and its imports.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.cli import main
from lookalike.encoders import Encoders
from lookalike.filters import parse_filter
from lookalike.settings import PREFIX, Settings
from lookalike.storage import Store

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LIBRARY = ROOT / "shared" / "lookalike"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
ANCHOR = re.compile(r"\]\((?!https?://)([^)#\s]*)#([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
VARIABLE = re.compile(r"\bLOOKALIKE_[A-Z][A-Z0-9_]*")
RUN_ELSEWHERE = ("python -m examples.siamese_digits ",)  # by unit/test_siamese_digits.py, as the page has it
GROUPS = ("collections", "encoders", "snapshot", "trainings")  # commands that have commands of their own
EACH = 12  # images of each of the two categories
EACH_FOR_CONFIDENCE = 25  # which is learnt from 50 items or more
ROW = re.compile(r"^\| `(LOOKALIKE_[A-Z0-9_]+)` \| (\S+) \|", re.MULTILINE)


def blocks(page: Path, kind: str) -> list[str]:
    found = FENCE.finditer(page.read_text("utf-8"))
    return [match["body"] for match in found if match["kind"].strip() == kind]


def commands(page: Path) -> list[str]:
    lines = "".join(blocks(page, "console")).replace("\\\n", " ").splitlines()
    found = [line[2:] for line in lines if line.startswith("$ ")]
    return [command for command in found if not command.startswith(RUN_ELSEWHERE)]


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).with_suffix("").as_posix()


def anchors(page: Path) -> set[str]:
    """What a heading's link is on GitHub."""
    headings = HEADING.findall(FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_to_headings_lead_somewhere(page: Path) -> None:
    for target, anchor in ANCHOR.findall(page.read_text("utf-8")):
        assert anchor in anchors((page.parent / target).resolve() if target else page), f"{target}#{anchor}"


def test_every_page_is_reachable_from_the_index() -> None:
    index = DOCS / "README.md"
    linked = {(DOCS / target).resolve() for target in LINK.findall(index.read_text("utf-8"))}
    assert [page.name for page in sorted(DOCS.glob("*.md")) if page != index and page not in linked] == []
    assert {ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"} <= linked
    assert "(docs/README.md)" in (ROOT / "README.md").read_text("utf-8")


def test_every_variable_is_documented_and_every_documented_one_is_read() -> None:
    files = [
        file
        for folder in ("shared", "infra", "lambdas", "sagemaker", "bench")
        for kind in ("*.py", "*.js")
        for file in sorted((ROOT / folder).rglob(kind))
    ]
    named = {name for file in files for name in VARIABLE.findall(file.read_text("utf-8"))}
    settings = {PREFIX + option.name.upper() for option in dataclasses.fields(Settings)}
    documented = {name for name, _ in ROW.findall((DOCS / "configuration.md").read_text("utf-8"))}
    assert documented == named | settings


def test_documented_defaults_are_the_defaults() -> None:
    documented = dict(ROW.findall((DOCS / "configuration.md").read_text("utf-8")))
    for option in dataclasses.fields(Settings):
        if option.default != "":
            assert documented[PREFIX + option.name.upper()] == f"`{option.default}`"


def test_the_module_map_lists_the_modules() -> None:
    tree = re.search(r"^shared/lookalike/\n(.*?)^```", (DOCS / "modules.md").read_text("utf-8"), re.M | re.S)
    assert tree is not None
    listed = re.findall(r"^  (\w+(?:\.py|/)) +\S", tree[1], re.MULTILINE)
    found = [f"{each.parent.name}/" for each in LIBRARY.glob("*/__init__.py")]
    found += [each.name for each in LIBRARY.glob("*.py") if each.name != "__init__.py"]
    assert sorted(listed) == sorted(found)
    assert listed == sorted(listed)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=page_id)
def test_commands_run(
    page: Path, documented_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(documented_folder)
    monkeypatch.setenv("LOOKALIKE_STORE", "store")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the examples run from a clone
    for command in commands(page):
        code = run_here(command) if is_run_here(page, command) else run_in_bash(command)
        printed = capfd.readouterr()
        assert code == 0, f"{page.name}: $ {command}\n{printed.out}\n{printed.err}"


def run_in_bash(command: str) -> int:
    return subprocess.run(["bash", "-euo", "pipefail", "-c", command], timeout=300, check=False).returncode


def run_here(command: str) -> int:
    """Exit code of a `lookalike …` line, run in this process."""
    return main(shlex.split(command)[1:])


def is_run_here(page: Path, command: str) -> bool:
    """Whether a line is a command of `lookalike` that an earlier line runs as a process."""
    wanted = subcommand(command)
    lines = ((any_page, line) for any_page in PAGES for line in commands(any_page))
    first = next((any_page, line) for any_page, line in lines if subcommand(line) == wanted)
    return wanted[0] == "lookalike" and (page, command) != first


def subcommand(command: str) -> tuple[str, str]:
    """The program, and the words before its first option or argument: `("lookalike", "snapshot build")`."""
    program, *words = shlex.split(command)
    named = words[:2] if words[0] in GROUPS else words[:1]
    return program, " ".join(named)


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
def documented_folder(page: Path, tmp_path: Path, default_encoder_folder: Path) -> Path:
    """What the pages assume: images, their metadata, a query image and an encoder."""
    each = EACH_FOR_CONFIDENCE if page.stem == "confidence" else EACH
    random = np.random.default_rng(0)
    rows = ["file,title,product_id,price,brand"]
    for category, colour in (("shoes", (180, 40, 40)), ("hats", (40, 60, 180))):
        folder = tmp_path / "photos" / category
        folder.mkdir(parents=True)
        for number in range(each):
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
