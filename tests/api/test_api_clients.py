"""Clients that openapi-python-client generates from `/openapi.json` work: searches, pages, errors."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fixtures.server import Running, jpeg, with_key

COUNT = 7


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_folder: Path):
    with with_key(tmp_path_factory.mktemp("clients"), tiny_encoder_folder, COUNT) as found:
        yield found


@pytest.fixture(scope="module")
def generated(served: tuple[Running, str], tmp_path_factory: pytest.TempPathFactory):
    """The package of the generated client, importable."""
    server, _ = served
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(json.dumps(server.client.get("/openapi.json").json()))
    # It formats with ruff, which it looks for on the path.
    command = [str(Path(sys.executable).with_name("openapi-python-client")), "generate"]
    command += ["--path", str(folder / "openapi.json"), "--output-path", str(folder / "client")]
    subprocess.run(command, check=True, capture_output=True)
    (package,) = (folder / "client").glob("*/__init__.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "client"))
        yield importlib.import_module(package.parent.name)


def part(package: ModuleType, name: str) -> Any:
    return importlib.import_module(f"{package.__name__}.{name}")


@pytest.fixture
def client(served: tuple[Running, str], generated: ModuleType) -> Any:
    server, key = served
    return generated.AuthenticatedClient(base_url=server.url, token=key)


@pytest.fixture
def search(generated: ModuleType, client: Any) -> Any:
    (module,) = Path(generated.__path__[0], "api", "search").glob("[!_]*.py")
    operation = part(generated, f"api.search.{module.stem}")
    return lambda body, collection="shop": operation.sync(collection, client=client, body=body)


def test_it_searches_with_an_image_as_a_form(generated: ModuleType, search: Any) -> None:
    file = part(generated, "types").File(io.BytesIO(jpeg(2)), "query.jpg", "image/jpeg")
    found = search(part(generated, "models").SearchForm(image=file, limit=3))
    assert len(found.results) == 3
    assert found.results[0].id == "2.jpg"


def test_it_pages_through_results(generated: ModuleType, search: Any) -> None:
    request = part(generated, "models").SearchRequest
    ids = [
        match.id
        for offset in range(0, COUNT, 3)
        for match in search(request(id="0.jpg", limit=3, offset=offset)).results
    ]
    assert sorted(ids) == [f"{number}.jpg" for number in range(1, COUNT)]
    mixed = request.from_dict({"query": [{"id": "0.jpg"}, {"id": "1.jpg", "weight": 0.5}], "limit": 2})
    assert len(search(mixed).results) == 2
    filtered = request.from_dict({"id": "0.jpg", "filter": {"price": {"gte": 20}}})
    assert [match.id for match in search(filtered).results] == ["3.jpg"]


def test_it_reads_an_error(generated: ModuleType, search: Any) -> None:
    models = part(generated, "models")
    problem = search(models.SearchRequest(id="0.jpg"), collection="shpo")
    assert isinstance(problem, models.Problem)
    assert problem.status == 404
    assert "shop" in json.dumps(problem.to_dict())
