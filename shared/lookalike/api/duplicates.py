"""Duplicates: groups of images, and what people decided about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from lookalike.api.caches import version_of
from lookalike.api.context import Context, base_url, context_of, image_url
from lookalike.api.http.access import Reader, Writer
from lookalike.api.http.bodies import read_json
from lookalike.api.http.models import EXAMPLE_SERVER, EXAMPLE_TIME, RequestBody, ResponseBody, example
from lookalike.api.http.openapi import json_body, problems, reference
from lookalike.api.http.parameters import CollectionName
from lookalike.api.reports import MAX_PAGE, Offset
from lookalike.errors import NotReady
from lookalike.layout import MAX_ID_BYTES

if TYPE_CHECKING:
    from lookalike.duplicates import Decisions, DuplicateDecisions, DuplicateGroup

router = APIRouter(tags=["reports"])
Relation = Literal["same", "variant", "similar"]
RELATIONS: tuple[Relation, ...] = ("same", "variant", "similar")
MAX_DECIDED = 500
MAX_SECONDS = 15.0
"""Of comparing images. A gateway on AWS waits 29 s for an answer, of which loading takes some."""
_DUPLICATE = {
    "id": "shoes/0001.jpg",
    "product_id": "sku-17",
    "width": 1200,
    "height": 1200,
    "score": 1.0,
    "hash_distance": 0,
    "reasons": ["vector", "hash"],
    "evidence": [],
    "image_url": f"{EXAMPLE_SERVER}/collections/fashion/images/shoes/0001.jpg",
}
_COPY = {
    **_DUPLICATE,
    "id": "shoes/copy.jpg",
    "width": 600,
    "height": 600,
    "hash_distance": 4,
    "evidence": ["same structure (4 of 256 bits differ)", "same colours"],
}
_IDS = ["shoes/0001.jpg", "shoes/0002.jpg"]
DecidedIds = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_ID_BYTES)]], Field(max_length=MAX_DECIDED)
]


class DuplicateResponse(ResponseBody):
    """One image of a group."""

    id: str
    product_id: str | None
    width: int
    height: int
    score: float = Field(description="Cosine similarity to the image to keep.")
    hash_distance: int | None = Field(description="Bits in which perceptual hashes differ, of 256.")
    reasons: list[Literal["vector", "hash"]] = Field(description="What linked it to another image.")
    evidence: list[str] = Field(
        description="What a comparison of its pixels with the image to keep found, in words."
    )
    image_url: str


class DuplicateGroupResponse(ResponseBody):
    """Images that belong together. Only in a group of the relation `same` are all but one redundant."""

    relation: Relation
    keep: str = Field(description="The first member: of the same images the one to keep.")
    kept_because: list[str] = Field(description="Why that one; empty unless the relation is `same`.")
    members: list[DuplicateResponse]


class ComparedResponse(ResponseBody):
    """How many pairs of images were compared. Call again until `done` equals `total`."""

    done: int
    total: int


class DuplicatesResponse(ResponseBody):
    """A page of groups of one relation, largest first."""

    model_config = example(
        {
            "collection": "fashion",
            "relation": "same",
            "total": 1,
            "counts": {"same": 1, "variant": 0, "similar": 0},
            "compared": {"done": 12, "total": 12},
            "offset": 0,
            "groups": [
                {
                    "relation": "same",
                    "keep": "shoes/0001.jpg",
                    "kept_because": ["most pixels"],
                    "members": [_DUPLICATE, _COPY],
                }
            ],
        }
    )

    collection: str
    relation: Relation
    total: int
    counts: dict[Relation, int] = Field(description="Groups of each relation.")
    compared: ComparedResponse
    offset: int
    groups: list[DuplicateGroupResponse]


class DecisionResponse(ResponseBody):
    """What was decided about some images."""

    decision: Literal["not_duplicates", "keep_all"]
    ids: list[str]
    others: list[str] = Field(description="If any, each of `ids` was decided with each of these.")
    at: str


class DecisionsResponse(ResponseBody):
    """All decisions of a collection, oldest first."""

    model_config = example(
        {
            "collection": "fashion",
            "decisions": [{"decision": "keep_all", "ids": _IDS, "others": [], "at": EXAMPLE_TIME}],
        }
    )

    collection: str
    decisions: list[DecisionResponse]


class DecisionRequest(RequestBody):
    """A decision about duplicates, kept permanently."""

    decision: Literal["not_duplicates", "keep_all"] = Field(
        description="They show different things, or they are duplicates and all of them stay."
    )
    ids: DecidedIds = Field(description="The images. Each pair of them is decided.")
    others: DecidedIds = Field(
        default_factory=list,
        description="If given, each of `ids` is decided with each of these, and with nothing else.",
    )


@router.get(
    "/collections/{collection}/duplicates", responses=problems(429), summary="List groups of duplicates"
)
async def duplicates(
    request: Request,
    collection: CollectionName,
    _: Reader,
    relation: Annotated[Relation, Query(description="Which groups to list.")] = "same",
    min_score: Annotated[
        float, Query(gt=0, le=1, description="Minimum cosine similarity of similar images.")
    ] = 0.95,
    max_hash_distance: Annotated[
        int,
        Query(ge=0, le=31, description="Maximum number of bits in which perceptual hashes may differ."),
    ] = 31,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    seconds: Annotated[
        float, Query(ge=0, le=MAX_SECONDS, description="Time for comparing images in this call.")
    ] = MAX_SECONDS,
) -> DuplicatesResponse:
    """Groups of images that are the same picture, of variants of one thing, or of similar images.

    Images are the same only if structure, colours and local detail agree, whatever the encoder says. Pairs
    that someone decided about are left out.

    A call compares images for up to `seconds`, and returns what is known then. `compared` says how far it is:
    repeat the call until `done` equals `total`. Verdicts are stored, so each pair is compared once.
    """
    context = context_of(request)
    async with context.limiters.reports.slot() as slot:
        groups, compared = await slot.run(_groups, context, collection, min_score, max_hash_distance, seconds)
    base = base_url(request)
    wanted = [group for group in groups if group.relation == relation]
    return DuplicatesResponse(
        collection=collection,
        relation=relation,
        total=len(wanted),
        counts={name: sum(group.relation == name for group in groups) for name in RELATIONS},
        compared=compared,
        offset=offset,
        groups=[_group(group, collection, base) for group in wanted[offset : offset + limit]],
    )


@router.get(
    "/collections/{collection}/duplicates/decisions",
    responses=problems(),
    summary="List decisions about duplicates",
)
def duplicate_decisions(request: Request, collection: CollectionName, _: Reader) -> DecisionsResponse:
    """All decisions, oldest first."""
    return _decisions(collection, _stored(request, collection).read())


@router.post(
    "/collections/{collection}/duplicates/decisions",
    openapi_extra=json_body(
        reference(DecisionRequest), {"no duplicates": {"decision": "not_duplicates", "ids": _IDS}}
    ),
    responses=problems(409, 413, 415),
    summary="Remember a decision about duplicates",
)
async def decide_duplicates(request: Request, collection: CollectionName, _: Writer) -> DecisionsResponse:
    """Permanently records that images are not duplicates, or that all of them are kept. Returns all
    decisions."""
    body = await read_json(request, DecisionRequest)
    stored = await run_in_threadpool(_stored, request, collection)
    return _decisions(collection, await run_in_threadpool(stored.add, body.decision, body.ids, body.others))


@router.delete(
    "/collections/{collection}/duplicates/decisions",
    responses=problems(409),
    summary="Forget a decision about duplicates",
)
def forget_duplicate_decision(
    request: Request,
    collection: CollectionName,
    _: Writer,
    id: Annotated[str, Query(min_length=1, max_length=MAX_ID_BYTES, examples=_IDS[:1])],
    other: Annotated[str, Query(min_length=1, max_length=MAX_ID_BYTES, examples=_IDS[1:])],
) -> DecisionsResponse:
    """Deletes the decision about two images. Returns the remaining decisions."""
    return _decisions(collection, _stored(request, collection).remove([id, other]))


def _stored(request: Request, collection: str) -> DuplicateDecisions:
    return context_of(request).library.collection(collection).duplicate_decisions


def _groups(
    context: Context, collection: str, min_score: float, max_hash_distance: int, seconds: float
) -> tuple[list[DuplicateGroup], ComparedResponse]:
    from lookalike.duplicates import (
        PairComparison,
        SampleReader,
        VerdictCache,
        begin_comparison,
        comparison_of,
    )

    library = context.library
    try:
        state = library.searcher(collection).state()
    except NotReady:
        return [], ComparedResponse(done=0, total=0)
    version = (*version_of(state), min_score, max_hash_distance)

    def begin() -> PairComparison:
        return begin_comparison(
            state.view,
            SampleReader.of(library.images, library.settings, collection),
            min_score=min_score,
            max_hash_distance=max_hash_distance,
            cache=VerdictCache(library.artifacts, collection),
        )

    comparing = context.reports.get(collection, "duplicates", version, begin)
    if not comparing.is_complete:
        comparing.advance(seconds)
    decided = library.collection(collection).duplicate_decisions.read().pairs()
    done, total = comparing.done, comparing.total
    # Decisions change the groups, and not the comparison, which is what takes time.
    groups = context.reports.get(
        collection,
        "duplicate groups",
        (*version, decided, done, total),
        lambda: comparison_of(state.view, comparing).groups(decided),
    )
    # The last pairs are found once all others are compared.
    return groups, ComparedResponse(done=done, total=total if comparing.is_complete else max(total, done + 1))


def _group(group: DuplicateGroup, collection: str, base: str) -> DuplicateGroupResponse:
    return DuplicateGroupResponse(
        relation=group.relation,
        keep=group.keep,
        kept_because=list(group.kept_because),
        members=[
            DuplicateResponse(
                id=member.id,
                product_id=member.product_id,
                width=member.width,
                height=member.height,
                score=member.score,
                hash_distance=member.hash_distance,
                reasons=list(member.reasons),
                evidence=list(member.evidence),
                image_url=image_url(base, collection, member.id),
            )
            for member in group.members
        ],
    )


def _decisions(collection: str, known: Decisions) -> DecisionsResponse:
    return DecisionsResponse(
        collection=collection,
        decisions=[
            DecisionResponse(decision=each.kind, ids=list(each.ids), others=list(each.others), at=each.at)
            for each in known.entries
        ],
    )
