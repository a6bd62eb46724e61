"""The OpenAPI description is complete, and its examples are true."""

from __future__ import annotations

import pytest

from lookalike.api import answers, overview_answers, schemas, training_answers
from lookalike.api.examples import ANSWERS


@pytest.fixture(scope="module")
def description(server):
    return server.client.get("/openapi.json").json()


def _operations(description):
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            yield f"{method} {path}", operation


def _has_example(part, description) -> bool:
    schema = part.get("schema", {})
    if "$ref" in schema:
        schema = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return any(key in holder for holder in (part, schema) for key in ("example", "examples", "default"))


def test_every_operation_says_what_it_does_takes_and_answers(description):
    for name, operation in _operations(description):
        assert operation["summary"], name
        assert operation["description"], name
        for parameter in operation.get("parameters", []):
            assert _has_example(parameter, description), (name, parameter["name"])
        for body in operation.get("requestBody", {}).get("content", {}).items():
            assert "schema" in body[1], (name, body)
        for status, response in operation["responses"].items():
            assert response["description"], (name, status)
            for media_type, content in response.get("content", {}).items():
                if media_type.endswith("json"):
                    assert _has_example(content, description), (name, status, media_type)


@pytest.mark.parametrize("name", ANSWERS)
def test_examples_of_answers_are_answers(name):
    modules = (answers, overview_answers, training_answers)
    model = next(getattr(module, name) for module in modules if hasattr(module, name))
    assert model.model_validate(ANSWERS[name], extra="forbid").model_dump(exclude_unset=True) == ANSWERS[name]


def test_examples_of_bodies_are_accepted(description):
    models = {
        "/collections/{collection}": schemas.CollectionBody,
        "/collections/{collection}/search": schemas.SearchRequest,
        "/collections/{collection}/trainings": schemas.TrainingBody,
    }
    tried = 0
    for path, operations in description["paths"].items():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for example in content.get("examples", {}).values():
                given = example["value"] if isinstance(example["value"], list) else [example["value"]]
                for each in given:
                    models.get(path, schemas.UploadBody).model_validate(each, strict=True)
                    tried += 1
    assert tried >= 12
