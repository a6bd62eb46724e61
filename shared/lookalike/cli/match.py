"""`lookalike match`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import JsonOption, StoreOption

if TYPE_CHECKING:
    from lookalike.cli.console import Console
    from lookalike.matching import Listing, MatchReport

INSTALL = "Type: pip install 'lookalike[match]' (in a clone: make setup)"
SHOWN = 10
Side = Annotated[
    str,
    typer.Argument(metavar="LEFT", help="A table (CSV, JSON Lines, Parquet) or a collection."),
]


def match(
    left: Side,
    right: Annotated[str, typer.Argument(metavar="RIGHT", help="The other one.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the pairs: .csv, .jsonl or .parquet."),
    ] = None,
    known: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Known pairs: left_id, right_id, and perhaps match (yes or no)."),
    ] = None,
    many: Annotated[
        bool, typer.Option("--many", help="A product may have several partners, not just one.")
    ] = False,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out pairs of a lower confidence.")
    ] = 0.5,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEANING=NAME", help="What a column is: id, title, description, brand, price or image."
        ),
    ] = None,
    images: Annotated[bool, typer.Option(help="Compare the images of the products too.")] = True,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find which products of one seller are which products of another.

    Compares titles, descriptions, codes, prices, brands and images. Without known pairs it learns from
    altered copies of both tables.
    """
    from lookalike.cli.console import Console

    console = Console(as_json=as_json)
    with _packages():
        from lookalike.matching import MatchOptions, check_suffix, match, read_known_pairs, write_pairs

        if output is not None:
            check_suffix(output)
        sides = _listings((left, right), _columns(column or []), images, store, console)
        pairs = read_known_pairs(known, *sides, many=many) if known else None
        if pairs is not None and pairs.unknown:
            console.warn(f"{pairs.unknown} known pairs are not used: the tables lack their ids")
        options = MatchOptions(many=many, least=min_confidence)
        report = match(*sides, pairs, options, progress=console.note)
        if output is not None:
            write_pairs(output, report.pairs)
    _print(report, sides, output, console)


@contextmanager
def _packages() -> Iterator[None]:
    from lookalike.errors import InvalidInput

    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"sklearn", "scipy"}:
            raise
        raise InvalidInput("matching needs scikit-learn", got=str(error), fix=INSTALL) from error


def _columns(given: Sequence[str]) -> dict[str, str]:
    from lookalike.errors import InvalidInput

    for text in given:
        if "=" not in text:
            raise InvalidInput("not a column", got=text, expected="MEANING=NAME, such as title=produkt")
    return dict(text.split("=", 1) for text in given)


def _listings(
    names: tuple[str, str], columns: dict[str, str], images: bool, store: str | None, console: Console
) -> tuple[Listing, Listing]:
    from lookalike.library import Library
    from lookalike.matching import read_listing
    from lookalike.matching.product_images import comparable, listing_of_collection
    from lookalike.metadata import SUFFIXES

    sides = []
    encoders = set()
    for name in names:
        if Path(name).is_file() or Path(name).suffix.lower() in SUFFIXES:
            listing = read_listing(Path(name), columns)
        else:
            state = Library.open(store).searcher(name).state()
            encoders.add(state.encoder.id)
            listing = listing_of_collection(name, state)
        for problem in listing.problems[:SHOWN]:
            console.warn(f"{listing.name}: row {problem.row}: {problem.message}")
        read = ", ".join(f"{meaning} from {column}" for meaning, column in listing.columns.items())
        console.note(f"{listing.name}: {len(listing):,} products; {read}")
        sides.append(listing)
    one, other = sides
    if images and len(encoders) < 2:
        one, other = (_with_images(side, store, encoders, console) for side in sides)
    elif encoders:
        console.warn(
            "images are not compared" + (": the collections have different encoders" if images else "")
        )
        one, other = (replace(side, vectors=None) for side in sides)
    return comparable(one, other)


def _with_images(listing: Listing, store: str | None, encoders: set[str], console: Console) -> Listing:
    """The listing with vectors of its images, if it has any: by the other side's encoder or the default."""
    from lookalike.default_encoder import default_encoder
    from lookalike.images import ImageLimits
    from lookalike.library import Library
    from lookalike.matching.product_images import with_vectors

    count = sum(path is not None for path in listing.images)
    if listing.vectors is not None or not count:
        return listing
    library = Library.open(store)
    if not encoders:
        encoders.add(default_encoder(library, progress=console.note).id)
    encoder = library.encoders.load(next(iter(encoders)), None)
    with console.progress(f"images of {listing.name}", count) as advance:
        return with_vectors(listing, encoder, ImageLimits.from_settings(library.settings), advance)


def _print(
    report: MatchReport, sides: tuple[Listing, Listing], output: Path | None, console: Console
) -> None:
    review = sum(pair.review for pair in report.pairs)
    console.document(
        {
            "left": sides[0].name,
            "right": sides[1].name,
            "learned_from": report.learned_from,
            "candidates": report.candidates,
            "output": str(output) if output else None,
            "pairs": [asdict(pair) for pair in report.pairs],
            "unmatched_left": report.unmatched_left,
            "unmatched_right": report.unmatched_right,
        }
    )
    console.table(
        {"confidence": "right", "left": "left", "right": "left", "agrees": "left", "contradicts": "left"},
        [
            (
                f"{pair.confidence:.2f}",
                pair.left_title or pair.left_id,
                pair.right_title or pair.right_id,
                "; ".join(pair.agree),
                "; ".join(pair.contradict),
            )
            for pair in report.pairs[:SHOWN]
        ],
    )
    unmatched = len(report.unmatched_left), len(report.unmatched_right)
    console.say(
        f"{len(report.pairs):,} pairs, {review:,} of them to review (confidence below 0.95). "
        f"Unmatched: {unmatched[0]:,} of {sides[0].name}, {unmatched[1]:,} of {sides[1].name}."
    )
    if output is not None:
        console.say(f"Wrote all pairs to {output}.")
    elif len(report.pairs) > SHOWN:
        console.say("All pairs: --output pairs.csv")
