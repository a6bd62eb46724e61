"""What a search takes and returns."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Annotated, Any, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from lookalike.api.context import image_url
from lookalike.api.http import models
from lookalike.api.http.bodies import JSON_TYPE
from lookalike.api.http.models import WHOLE, RequestBody, ResponseBody
from lookalike.filters import parse_filter
from lookalike.layout import MAX_KEY_BYTES
from lookalike.search.query import Query, QueryPart, SearchResult
from lookalike.text_search import TextMode, TextReading
from lookalike.types import Attribute, Likelihood, RankBy

MAX_LIMIT = 100
MAX_OFFSET = 10_000
MAX_PARTS = 8
MAX_TEXT_CHARACTERS = 1_000
WORDS = get_args(Likelihood)
SUBJECTS = ("image", "id", "text", "query")
JSON_FORM_FIELDS = frozenset({"filter", "query"})


def _image_bytes(given: object) -> object:
    """The bytes of base64 text. A form has the bytes themselves, which may be those of an empty file."""
    if not isinstance(given, str):
        return given
    if not given:
        raise ValueError("the base64 text is empty")
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64: {error}") from error


Image = Annotated[
    bytes,
    BeforeValidator(_image_bytes),
    WithJsonSchema({"type": "string", "minLength": 1}),
]


def _confidence(given: object) -> object:
    """A number from 0 to 1, or a word for one. A URL carries the number as text."""
    if given is None or given in WORDS:
        return given
    try:
        number = math.nan if isinstance(given, bool) else float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ValueError(f"neither a number from 0 to 1 nor {', '.join(WORDS)}")
    return number


Confidence = Annotated[
    float | Likelihood | None,
    PlainValidator(_confidence),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "enum": list(WORDS)},
                {"type": "null"},
            ],
            "default": None,
            "examples": [0.5, "likely"],
        }
    ),
]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), WHOLE]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET), WHOLE]


class QueryPartRequest(RequestBody):
    """One part of a mixed query: exactly one of `image`, `id` and `text`."""

    image: Image | None = Field(None, description="An image file in base64.")
    id: str | None = Field(None, min_length=1, max_length=MAX_KEY_BYTES, description="An item's id.")
    text: str | None = Field(None, min_length=1, max_length=MAX_TEXT_CHARACTERS)
    weight: float = Field(
        1.0, ge=-100, le=100, description="A negative weight finds less similar items. Must not be 0."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, ("image", "id", "text"))
        if self.weight == 0:
            raise ValueError("weight must not be 0")
        return self


class SearchOptions(RequestBody):
    """Which matches to return, and how many."""

    limit: Limit = 10
    offset: Offset = 0
    filter: dict[str, Any] | None = Field(
        None,
        description="Conditions on an item's fields, all of which must hold. `any` and `not` nest them.",
        examples=[{"category": "shoes", "price": {"gte": 10, "lt": 50}, "brand": {"in": ["a", "b"]}}],
    )
    min_confidence: Confidence = Field(
        None,
        description="Minimum confidence of a match: a number, or the word for it. Needs a collection with "
        "categories; see `confidence_reason`.",
        examples=[0.5, "likely"],
    )
    rank_by: RankBy = Field(
        "similarity",
        description="How matches are ranked. `confidence` finds more of the query's category; near-copies "
        "may come later.",
    )
    group_by: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Return only the best match for each value of this field.",
        examples=["product_id"],
    )
    include_self: bool = Field(False, description="Keep the item that `id` names among its own matches.")
    mode: TextMode = Field(
        "auto",
        description="What a query of words is compared with: the items' `words`, the `meaning` of their "
        "images, or both. Words with images are always compared by meaning.",
    )

    def to_query(self, parts: tuple[QueryPart, ...]) -> Query:
        """The library's query. Raises FilterError."""
        return Query(
            parts=parts,
            limit=self.limit,
            offset=self.offset,
            filter=None if self.filter is None else parse_filter(self.filter),
            min_confidence=self.min_confidence,
            rank_by=self.rank_by,
            group_by=self.group_by,
            include_self=self.include_self,
            mode=self.mode,
        )


class SearchRequest(SearchOptions):
    """Exactly one of `image`, `id`, `text` and `query`, and options.

    The schema does not say "exactly one": client generators lose fields with such alternatives.
    """

    image: Image | None = Field(None, description="An image file in base64.")
    id: str | None = Field(None, min_length=1, max_length=MAX_KEY_BYTES, description="An item's id.")
    text: str | None = Field(None, min_length=1, max_length=MAX_TEXT_CHARACTERS)
    query: list[QueryPartRequest] | None = Field(None, min_length=1, max_length=MAX_PARTS)

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, SUBJECTS)
        return self

    def parts(self) -> tuple[QueryPart, ...]:
        """The parts of the library's query."""
        if self.query is not None:
            return tuple(_part(part, part.weight) for part in self.query)
        return (_part(self),)


def _describe_form(schema: dict[str, Any]) -> None:
    """A form sends its image as a file, and nested values as JSON text."""
    properties = schema["properties"]
    properties["image"] = {"type": "string", "format": "binary", "description": "An image file."}
    for name in JSON_FORM_FIELDS:
        properties[name] = {
            "type": "string",
            "contentMediaType": JSON_TYPE,
            "description": f"JSON text; see `{name}` of SearchRequest.",
        }
    for name, of in properties.items():
        if "anyOf" in of:  # a form has no null
            properties[name] = {**of.pop("anyOf")[0], **of}
            properties[name].pop("default", None)


class SearchForm(SearchRequest):
    """A search request as a form: `image` is a file, `filter` and `query` are JSON text."""

    model_config = ConfigDict(json_schema_extra=_describe_form)


class MatchResponse(ResponseBody):
    """One match. A higher `score` is better; `distance` is in the units of the metric."""

    id: str
    score: float
    distance: float
    confidence: float | None = Field(
        description="Probability that the query is of this item's category; null if it is not known."
    )
    likelihood: Likelihood | None = Field(
        description="A word for the confidence: 95 % of likely matches are right, half of the maybes."
    )
    confidence_reason: str | None = Field(description="Why there is no confidence.")
    category: str | None
    product_id: str | None
    metadata: dict[str, Attribute]
    image_url: str


class CategoryEstimateResponse(ResponseBody):
    """How probable it is that the query is of a category; null means a category that the collection does not
    have."""

    category: str | None
    probability: float


class QueryWordResponse(ResponseBody):
    """One word of the query, and the collection's word that it is taken for."""

    word: str
    read_as: str | None = Field(description="null: the collection has no such word.")
    items: int = Field(description="How many items of the snapshot have it.")


class TextReadingResponse(ResponseBody):
    """How the words of the query were understood."""

    words: list[QueryWordResponse]
    by: str = Field(description="What was compared: words, meaning, or both.")
    note: str | None = Field(description="Why meaning was not compared.")

    @classmethod
    def of(cls, reading: TextReading) -> TextReadingResponse:
        """The library's reading."""
        words = [
            QueryWordResponse(word=one.word, read_as=one.read_as, items=one.items) for one in reading.words
        ]
        return cls(words=words, by=reading.by, note=reading.note)


class SearchResponse(ResponseBody):
    """Matches, best first, and the encoder and snapshot that found them."""

    model_config = models.example(
        {
            "collection": "fashion",
            "encoder": models.EXAMPLE_ENCODER,
            "snapshot": models.EXAMPLE_SNAPSHOT,
            "index_time": models.EXAMPLE_TIME,
            "took_ms": 14.2,
            "results": [
                {
                    "id": "shoes/0001.jpg",
                    "score": 0.93,
                    "distance": 0.07,
                    "confidence": 0.97,
                    "likelihood": "likely",
                    "confidence_reason": None,
                    "category": "shoes",
                    "product_id": "sku-17",
                    "metadata": {"title": "Red trainer", "price": 39.9},
                    "image_url": f"{models.EXAMPLE_SERVER}/collections/fashion/images/shoes/0001.jpg",
                }
            ],
            "category_estimate": [
                {"category": "shoes", "probability": 0.96},
                {"category": None, "probability": 0.01},
            ],
            "confidence_reason": None,
            "text": None,
        }
    )

    collection: str
    encoder: str
    snapshot: str | None
    index_time: str | None
    took_ms: float
    results: list[MatchResponse]
    category_estimate: list[CategoryEstimateResponse] = Field(
        description="The query's most probable categories, most probable first; empty where not known."
    )
    confidence_reason: str | None = Field(description="Why no match has a confidence.")
    text: TextReadingResponse | None = Field(description="null: the query has no words.")

    @classmethod
    def of(cls, result: SearchResult, base: str) -> SearchResponse:
        """The response to a search; `base` is the URL of this API."""
        return cls(
            collection=result.collection,
            encoder=result.encoder,
            snapshot=result.snapshot,
            index_time=result.index_time,
            took_ms=round(result.took_ms, 3),
            results=[
                MatchResponse(
                    id=match.item.id,
                    score=match.score,
                    distance=match.distance,
                    confidence=match.confidence,
                    likelihood=match.likelihood,
                    confidence_reason=result.reason(match),
                    category=match.item.category,
                    product_id=match.item.product_id,
                    metadata=match.item.metadata,
                    image_url=image_url(base, result.collection, match.item.id),
                )
                for match in result.matches
            ],
            category_estimate=[
                CategoryEstimateResponse(category=one.category, probability=one.probability)
                for one in result.category_estimate
            ],
            confidence_reason=result.confidence_reason,
            text=TextReadingResponse.of(result.text) if result.text else None,
        )


def _part(subject: SearchRequest | QueryPartRequest, weight: float = 1.0) -> QueryPart:
    if subject.image is not None:
        return QueryPart("image", subject.image, weight)
    if subject.id is not None:
        return QueryPart("id", subject.id, weight)
    return QueryPart("text", str(subject.text), weight)


def _exactly_one(body: BaseModel, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(body, name) is not None]
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(names)}; got {' and '.join(given) or 'none'}")
