"""What comes in over HTTP. Fields that nobody knows are refused; numbers must be finite.

The query parts of `SearchRequest` and its form twin share `SearchOptions`, so that JSON and multipart take
the same fields with the same bounds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lookalike.api.names import MAX_ID_BYTES, MAX_KEY_BYTES
from lookalike.training.options import Loss, TrainingOptions
from lookalike.training_jobs.record import Publish, Source
from lookalike.types import Attribute, Engine, Metric

PackagedBackbone = Literal["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"]
MAX_LIMIT = 100
MAX_OFFSET = 10_000
MAX_PARTS = 8
MAX_UPLOADS = 100
MAX_TEXT_CHARACTERS = 1_000
MAX_FIELDS = 100


def _whole(given: object) -> object:
    return int(given) if isinstance(given, float) and given.is_integer() else given


# JSON Schema counts 40.0 among the integers.
WHOLE = BeforeValidator(_whole)
Trees = Annotated[int, Field(ge=1, le=10_000), WHOLE]
Candidates = Annotated[int, Field(ge=1, le=100_000_000), WHOLE]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), WHOLE]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET), WHOLE]

IMAGE_TYPES = Literal[
    "image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff", "image/avif"
]


class Body(BaseModel):
    """A request body: nothing but the fields named here."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class CollectionBody(Body):
    """What to create a collection with, or to change of it. Fields left out stay as they are."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"metric": "cosine", "engine": "annoy", "recall_target": 0.95}]}
    )

    encoder: str | None = Field(
        None, min_length=1, max_length=200, description="Id or name of an encoder of this store."
    )
    metric: Metric | None = None
    engine: Engine | None = None
    n_trees: Trees | None = Field(None, description="null: chosen by measurement.")
    search_k: Candidates | None = Field(None, description="null: chosen by measurement.")
    recall_target: float | None = Field(None, gt=0, le=1, description="Part of the exact top 10 to find.")


class QueryPartBody(Body):
    """One thing to look like: exactly one of `image`, `id` and `text`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"type": "string"}}}
                for name in ("image", "id", "text")
            ]
        }
    )

    image: str | None = Field(None, min_length=1, description="An image file in base64.")
    id: str | None = Field(None, min_length=1, max_length=MAX_KEY_BYTES, description="An item's id.")
    text: str | None = Field(None, min_length=1, max_length=MAX_TEXT_CHARACTERS)
    weight: float = Field(1.0, ge=-100, le=100, description="Below 0: less like this. Not 0.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, ("image", "id", "text"))
        if self.weight == 0:
            raise ValueError("weight must not be 0")
        return self


class SearchOptions(Body):
    """How many matches to return, and which."""

    limit: Limit = 10
    offset: Offset = 0
    filter: dict[str, Any] | None = Field(
        None,
        description="Conditions on an item's fields, joined by and; `any` and `not` nest them.",
        examples=[{"category": "shoes", "price": {"gte": 10, "lt": 50}, "brand": {"in": ["a", "b"]}}],
    )
    min_confidence: float | None = Field(
        None, ge=0, le=1, description="Needs a collection with labels.", examples=[0.5]
    )
    group_by: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Only the best match of each value of this field.",
        examples=["product_id"],
    )
    include_self: bool = Field(False, description="Keep the item that `id` names among its own matches.")


SUBJECTS = ("image", "id", "text", "query")


class SearchRequest(SearchOptions):
    """Exactly one of `image`, `id`, `text` and `query`, and how to answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "required": [name],
                    "properties": {name: {"type": "array" if name == "query" else "string"}},
                }
                for name in SUBJECTS
            ],
        }
    )

    image: str | None = Field(None, min_length=1, description="An image file in base64.")
    id: str | None = Field(None, min_length=1, max_length=MAX_KEY_BYTES, description="An item's id.")
    text: str | None = Field(None, min_length=1, max_length=MAX_TEXT_CHARACTERS)
    query: list[QueryPartBody] | None = Field(None, min_length=1, max_length=MAX_PARTS)

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, SUBJECTS)
        return self


class SimilarOptions(SearchOptions):
    """The options of a search as query parameters."""

    filter: str | None = Field(  # type: ignore[assignment]  # a URL carries text
        None, description="A filter as JSON text.", examples=['{"category": "shoes"}']
    )


class SearchForm(SearchRequest):
    """The same as a form; `image` is a file, `filter` and `query` are JSON texts."""


def _exactly_one(body: BaseModel, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(body, name) is not None]
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(names)}; got {' and '.join(given) or 'none'}")


class UploadBody(Body):
    """A picture that the caller wants to PUT."""

    name: str = Field(
        min_length=1,
        max_length=MAX_ID_BYTES,
        description="Becomes the item's id. Its first folder is the category, unless metadata says so.",
        examples=["shoes/0001.jpg"],
    )
    content_type: IMAGE_TYPES = "image/jpeg"
    metadata: dict[str, Attribute] | None = Field(
        None,
        max_length=MAX_FIELDS,
        description="Fields of the item. Left out: what is known stays. {}: forget earlier uploads'.",
        examples=[{"product_id": "sku-17", "title": "Red trainer", "price": 39.9}],
    )


class TrainingBody(Body):
    """What to train on, and how. Options left out have the values that the benchmarks are measured with."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"source": "collection"}]})

    source: Source = Field(
        description="The collection as it stands, or a zip file with one folder per class, sent after."
    )
    label: str | None = Field(
        None, min_length=1, max_length=200, description="Metadata field with the classes, for the category."
    )
    publish: Publish = Field(
        "if_better", description="When the new encoder takes the place of the one that serves."
    )
    backbone: PackagedBackbone = "efficientnet-lite0"
    loss: Loss = "cosface"
    dimension: Annotated[int, Field(ge=8, le=4096), WHOLE] = Field(256, description="Of the vectors.")
    views: Annotated[int, Field(ge=1, le=64), WHOLE] = Field(6, description="Augmented views of a picture.")
    last_stages: bool = Field(False, description="Train the last stages of the backbone too: better, slower.")
    whole_network: bool = Field(False, description="Train all of the backbone: for a GPU.")
    epochs: Annotated[int, Field(ge=1, le=1000), WHOLE] | None = Field(None, description="null: chosen.")
    blend: float | None = Field(
        None, ge=0, le=1, description="Share of trained features in a vector. null: chosen on held-out data."
    )

    def options(self) -> TrainingOptions:
        """The trainer's options. Raises InvalidInput."""
        return TrainingOptions.from_json(self.model_dump(exclude={"source", "label", "publish"}))
