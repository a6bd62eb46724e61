"""What docs/cloud-training.md says is checked against the code, and its commands are run."""

from __future__ import annotations

import dataclasses
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.classes import write_classes
from fixtures.sources import zipped

from infra.image_table import IMAGES
from infra.training_state_machine import Pipeline, definition
from lookalike.aws.training import artefact
from lookalike.aws.training.contract import ROOT_VARIABLE
from lookalike.aws.training.failures import BROKEN, REFUSED
from lookalike.aws.training.hyperparameters import OURS
from lookalike.aws.training.job_log import metric_definitions
from lookalike.training.options import TrainingOptions

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "cloud-training.md").read_text("utf-8")
FLAT = re.sub(r"\s+", " ", PAGE.replace("\n> ", " "))


def defaults() -> dict[str, object]:
    return {field.name: field.default for field in dataclasses.fields(Pipeline)}


def test_the_block_of_commands_does_what_it_says(tmp_path: Path) -> None:
    write_classes(tmp_path / "photos", 6, shapes=("disc",))
    names = [f"disc/{file.name}" for file in sorted((tmp_path / "photos" / "disc").iterdir())]
    zipped(tmp_path / "photos.zip", names)
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    block = block.replace("/tmp/ml", str(tmp_path / "ml")).replace(".venv/bin/python", sys.executable)
    block = block.replace("sagemaker/train.py", str(REPOSITORY / "sagemaker" / "train.py"))
    ran = subprocess.run(
        ["sh", "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == REFUSED, ran.stderr
    failure = (tmp_path / "ml" / "output" / "failure").read_text("utf-8")
    assert failure in FLAT  # the very sentence that the page quotes


def test_states_functions_and_numbers_are_those_of_the_machine() -> None:
    functions = {name: f"arn:{name}" for name in ("register", "encode", "publish", "conclude")}
    states = definition(Pipeline("x", "i", "r", "a", "b", functions))["States"]
    table = [row.split("|")[1] for row in PAGE.splitlines() if row.startswith("| `")]
    tasks = {name for name, state in states.items() if state["Type"] in {"Task", "Map"}}
    assert tasks <= set(re.findall(r"`(\w+)`", " ".join(table)))
    for module, name in re.findall(r"`(lambdas\.\w+\.\w+)\.(\w+)`", PAGE):
        assert callable(getattr(importlib.import_module(module), name))
    assert f"{defaults()['batch_items']} a batch, {defaults()['concurrency']} batches at a time" in FLAT
    assert f"exit code is {REFUSED} then, and {BROKEN} for everything else" in FLAT


def test_names_are_those_of_the_container() -> None:
    for name in OURS:
        assert f"| `{name}` |" in PAGE
    for field in dataclasses.fields(TrainingOptions):
        assert f"`{field.name}`" in PAGE
    for name in (artefact.RESULT, artefact.SPLIT, artefact.NOTES, artefact.REPORT, artefact.COMPARISON):
        assert f"`{name}`" in PAGE
    assert f"`{ROOT_VARIABLE}`" in PAGE
    (line,) = re.findall(r"`(phase=[^`]+)`", PAGE)
    found = {metric["Name"] for metric in metric_definitions() if re.search(metric["Regex"], line)}
    assert {"loss", "map_at_r"} <= found


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#]+)", PAGE))
def test_links_lead_somewhere(path: str) -> None:
    assert (REPOSITORY / "docs" / path).is_file()


def test_limits_of_images_are_those_that_make_images_holds() -> None:
    for name, image in IMAGES.items():
        (row,) = re.findall(rf"^\| `{name}` \| ([\d,]+) \| (\S+) \|$", PAGE, re.MULTILINE)
        assert row[1] == str(image.limit_megabytes or "–")
        assert image.limit_megabytes is None or int(row[0].replace(",", "")) <= image.limit_megabytes


def test_targets_and_files_that_it_names_exist() -> None:
    assert re.search(r"^images:", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    for path in re.findall(r"`((?:tests|infra|sagemaker|lambdas)/[\w./]+)`", PAGE):
        assert (REPOSITORY / path).exists(), path
    assert "TENSORFLOW" in (REPOSITORY / "sagemaker" / "Dockerfile").read_text("utf-8")
