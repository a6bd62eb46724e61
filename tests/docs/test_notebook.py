"""`examples/notebook.ipynb` runs from top to bottom, on a real kernel, with the demo's images."""

from __future__ import annotations

import base64
import io
import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

import lookalike

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
SECONDS_A_CELL = 240


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, default_encoder_folder: Path) -> Any:
    """The executed notebook."""
    folder = tmp_path_factory.mktemp("notebook")
    lookalike.open(str(folder / "store"), cache=folder / "cache").encoders.add(default_encoder_folder)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=SECONDS_A_CELL, resources={"metadata": {"path": str(folder)}}, kernel_name="python3"
    )
    # The kernel writes its connection file and its history below these.
    kept = {
        name: str(folder / name.lower()) for name in ("XDG_CACHE_HOME", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    client.execute(env={**os.environ, **kept, "PYTHONPATH": str(ROOT / "shared")})
    return notebook


def printed(notebook: Any, word: str) -> str:
    """What the code cell that has `word` printed."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and word in cell.source]
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def images(notebook: Any) -> list[Image.Image]:
    return [
        Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


def test_it_indexes_searches_evaluates_and_trains(ran: Any) -> None:
    encoded = int(printed(ran, "food.add(photos)").rsplit(" images encoded", 1)[0].split()[-1])
    assert encoded > 40
    best = printed(ran, "match.confidence").splitlines()
    assert len(best) == 6
    assert best[0].endswith("Red apple (fruit)")
    recall = re.search(r"^recall_at_1 +(\S+)", printed(ran, "food.evaluate()"), re.MULTILINE)
    assert recall
    assert 0.3 < float(recall[1]) <= 1
    encoder, reason = printed(ran, "food.train(").splitlines()[-2:]
    assert encoder
    assert reason.startswith("mAP@R ")


def test_it_shows_the_matches_next_to_the_query(ran: Any) -> None:
    before, after = images(ran)
    assert before.size == after.size == (7 * 160, 160)
    # The query is in the collection, so its best match is itself.
    assert before.crop((0, 0, 160, 160)).tobytes() == before.crop((160, 0, 320, 160)).tobytes()


def test_outputs_are_not_committed() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
