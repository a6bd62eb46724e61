"""Base classes of request and response bodies, and the values that their examples have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

EXAMPLE_ENCODER = "efficientnet-lite0-0f3c9a1b2d4e"
EXAMPLE_SNAPSHOT = "20260101T120500-1a2b3c4d"
EXAMPLE_SERVER = "http://127.0.0.1:8000"
EXAMPLE_TIME = "2026-01-01T12:05:00+00:00"


class RequestBody(BaseModel):
    """A request body. Unknown fields are rejected, and numbers must be finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ResponseBody(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")


def example(value: dict[str, Any]) -> ConfigDict:
    """Model configuration that adds an example to the OpenAPI description."""
    return ConfigDict(json_schema_extra={"examples": [value]})


def _whole(given: object) -> object:
    return int(given) if isinstance(given, float) and given.is_integer() else given


# JSON Schema counts 40.0 among the integers.
WHOLE = BeforeValidator(_whole)
