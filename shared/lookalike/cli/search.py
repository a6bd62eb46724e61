"""`lookalike search`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from lookalike.cli.options import CollectionOption, JsonOption, StoreOption
from lookalike.integrity import load_json
from lookalike.layout import image_key
from lookalike.text_search import TextMode
from lookalike.types import Likelihood, RankBy

WORDS = get_args(Likelihood)

if TYPE_CHECKING:
    from lookalike.cli.console import Console
    from lookalike.filters import Filter
    from lookalike.search import QueryPart, SearchResult
    from lookalike.storage import Store
    from lookalike.text_search import TextReading
    from lookalike.types import Match


def _checked(text: str | None) -> str | None:
    """Reject an invalid confidence before anything is read."""
    number = _least(text)
    if number is None or (number in WORDS if isinstance(number, str) else 0 <= number <= 1):
        return text
    raise typer.BadParameter(f"{text} is neither a number from 0 to 1 nor {', '.join(WORDS)}")


def _least(text: str | None) -> float | Likelihood | None:
    """The number, or the word unchanged."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return cast("Likelihood", text)


def search(
    collection: CollectionOption,
    photo: Annotated[Path | None, typer.Argument(metavar="IMAGE", help="The query image.")] = None,
    item_id: Annotated[str | None, typer.Option("--id", help="Or the id of an item as the query.")] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            "-t",
            metavar="WORDS",
            help='Or words, alone or with the image; "stripes:-0.5" for a weight. May be repeated.',
        ),
    ] = None,
    mode: Annotated[
        TextMode, typer.Option(help="Compare words with items' words, with the meaning of images, or both.")
    ] = "auto",
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, help="How many matches.")] = 10,
    offset: Annotated[int, typer.Option(min=0, help="How many of the best matches to skip.")] = 0,
    conditions: Annotated[
        str | None, typer.Option("--filter", metavar="JSON", help="Conditions on the items' fields.")
    ] = None,
    min_confidence: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER|WORD",
            callback=_checked,
            help="Minimum confidence of a match: 0 to 1, likely or maybe.",
        ),
    ] = None,
    rank_by: Annotated[
        RankBy, typer.Option(help="How to rank matches; confidence finds more of the category.")
    ] = "similarity",
    group_by: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Return only the best match for each value of this field."),
    ] = None,
    include_self: Annotated[
        bool, typer.Option("--include-self", help="With --id, keep that item among the matches.")
    ] = False,
    sheet: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw the query and its matches.")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the items most similar to an image, to an item, or to words."""
    if photo is not None and item_id is not None:
        raise typer.BadParameter("give either IMAGE or --id, and not both")
    if photo is None and item_id is None and not text:
        raise typer.BadParameter("give IMAGE, --id or --text")
    from lookalike.cli.console import Console
    from lookalike.library import Library
    from lookalike.search import Query

    query = Query(
        parts=_parts(photo, item_id, text or []),
        limit=limit,
        offset=offset,
        filter=_parsed(conditions),
        min_confidence=_least(min_confidence),
        rank_by=rank_by,
        group_by=group_by,
        include_self=include_self,
        mode=mode,
    )
    library = Library.open(store)
    result = library.searcher(collection).search(query)
    console = Console(as_json=as_json)
    console.document(_document(result, library.images, library.settings.url_seconds))
    _print(console, result)
    if sheet is not None:
        from lookalike.contact_sheet import ContactSheet

        drawer = ContactSheet(library.images, library.settings, collection)
        title = " + ".join([*([photo.name] if photo else [item_id] if item_id else []), *(text or [])])
        drawn = drawer.write_results(sheet, f"{collection}: similar images", [(title, query, result)])
        console.note(f"Drew {drawn}")


def _parts(photo: Path | None, item_id: str | None, texts: list[str]) -> tuple[QueryPart, ...]:
    from lookalike.search import QueryPart

    images = [QueryPart("image", photo.read_bytes())] if photo else []
    items = [QueryPart("id", item_id)] if item_id else []
    return (*images, *items, *(QueryPart("text", *_weighted(text)) for text in texts))


def _weighted(text: str) -> tuple[str, float]:
    """`stripes:-0.5` → the words and their weight; 1 without one."""
    words, _, weight = text.rpartition(":")
    try:
        return (words, float(weight)) if words else (text, 1.0)
    except ValueError:
        return text, 1.0


def _parsed(conditions: str | None) -> Filter | None:
    if conditions is None:
        return None
    from lookalike.errors import FilterError
    from lookalike.filters import parse_filter

    try:
        value = load_json(conditions)
    except ValueError as error:
        raise FilterError(
            "the filter is not JSON", got=conditions[:200], expected='something like {"price": {"lt": 50}}'
        ) from error
    return parse_filter(value)


def _document(result: SearchResult, images: Store, url_seconds: int) -> dict[str, Any]:
    """The HTTP API's response, except that `image_url` is a file URL or a presigned URL."""

    def url(match: Match) -> str:
        key = image_key(result.collection, match.item.id)
        file = images.local_path(key)
        return file.as_uri() if file else images.sign("GET", key, url_seconds)

    return {
        "collection": result.collection,
        "encoder": result.encoder,
        "snapshot": result.snapshot,
        "index_time": result.index_time,
        "took_ms": round(result.took_ms, 3),
        "results": [
            {
                "id": match.item.id,
                "score": match.score,
                "distance": match.distance,
                "confidence": match.confidence,
                "likelihood": match.likelihood,
                "confidence_reason": result.reason(match),
                "category": match.item.category,
                "product_id": match.item.product_id,
                "metadata": _metadata(match),
                "image_url": url(match),
            }
            for match in result.matches
        ],
        "category_estimate": [
            {"category": one.category, "probability": one.probability} for one in result.category_estimate
        ],
        "confidence_reason": result.confidence_reason,
        "text": asdict(result.text) if result.text else None,
    }


def _say_reading(console: Console, reading: TextReading) -> None:
    for one in reading.words:
        if one.read_as is None:
            console.note(f'No item has the word "{one.word}"')
        elif one.read_as != one.word:
            console.note(f'Read "{one.word}" as "{one.read_as}"')
    if reading.note:
        console.note(f"Compared words only: {reading.note}")


def _metadata(match: Match) -> dict[str, Any]:
    title = {} if match.item.title is None else {"title": match.item.title}
    return {**title, **match.item.attributes}


def _print(console: Console, result: SearchResult) -> None:
    console.table(
        {
            "#": "right",
            "id": "left",
            "score": "right",
            "confidence": "left",
            "category": "left",
            "title": "left",
        },
        [
            (
                number,
                match.item.id,
                f"{match.score:.4f}",
                None if match.confidence is None else f"{match.confidence:>4.0%} {match.likelihood}",
                match.item.category,
                match.item.title,
            )
            for number, match in enumerate(result.matches, start=1)
        ],
    )
    if result.text:
        _say_reading(console, result.text)
    if result.category_estimate:
        first = result.category_estimate[0]
        name = first.category or "no category of this collection"
        console.say(f"Most probably: {name} ({first.probability:.0%})")
    elif result.confidence_reason:
        console.note(f"No confidence: {result.confidence_reason}")
    snapshot = result.snapshot or "no snapshot yet"
    console.say(f"{len(result.matches)} matches in {result.took_ms:.0f} ms ({result.encoder}, {snapshot})")
