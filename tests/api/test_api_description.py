"""The OpenAPI description is complete, and its examples are true."""

from __future__ import annotations

import pytest

from lookalike.api.http.app import REQUEST_MODELS
from lookalike.api.http.models import ResponseBody
from lookalike.api.uploads import UploadRequest


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


EXAMPLES = [
    pytest.param(model, example, id=model.__name__)
    for model in ResponseBody.__subclasses__()
    for example in (model.model_config.get("json_schema_extra") or {}).get("examples", ())
]


def test_every_response_has_an_example():
    assert len(EXAMPLES) >= 19


@pytest.mark.parametrize(("model", "example"), EXAMPLES)
def test_examples_of_responses_match_their_models(model, example):
    assert model.model_validate(example, extra="forbid").model_dump(exclude_unset=True) == example


def test_examples_of_bodies_are_accepted(description):
    named = {model.__name__: model for model in REQUEST_MODELS}
    models = {
        "/collections/{collection}": named["CollectionRequest"],
        "/collections/{collection}/search": named["SearchRequest"],
        "/collections/{collection}/trainings": named["TrainingRequest"],
        "/collections/{collection}/trash/restore": named["RestoreRequest"],
        "/collections/{collection}/duplicates/decisions": named["DecisionRequest"],
    }
    tried = 0
    for path, operations in description["paths"].items():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for example in content.get("examples", {}).values():
                given = example["value"] if isinstance(example["value"], list) else [example["value"]]
                for each in given:
                    models.get(path, UploadRequest).model_validate(each, strict=True)
                    tried += 1
    assert tried >= 12
