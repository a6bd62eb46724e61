"""`lookalike duplicates`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.options import CollectionOption, JsonOption, StoreOption

if TYPE_CHECKING:
    from lookalike.duplicates import DuplicateGroup


def duplicates(
    collection: CollectionOption,
    min_score: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Minimum cosine similarity of two vectors.")
    ] = 0.95,
    max_hash_distance: Annotated[
        int, typer.Option(min=0, max=31, help="Maximum distance of two perceptual hashes, in bits of 256.")
    ] = 31,
    by: Annotated[str, typer.Option(metavar="vector|hash|both", help="What to compare.")] = "both",
    sheet: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw the groups.")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find duplicate images, and suggest which to keep."""
    if by not in {"vector", "hash", "both"}:
        raise typer.BadParameter("--by is vector, hash or both")
    from lookalike.cli.console import Console
    from lookalike.duplicates import find_duplicates
    from lookalike.library import Library

    console = Console(as_json=as_json)
    library = Library.open(store)
    view = library.searcher(collection).state().view
    with console.progress("duplicates", view.count if by != "hash" else 0) as advance:
        groups = find_duplicates(
            view,
            min_score=None if by == "hash" else min_score,
            max_hash_distance=None if by == "vector" else max_hash_distance,
            progress=advance,
        )
    console.document({"collection": collection, "items": view.count, "groups": list(map(_document, groups))})
    console.table(
        {"keep": "left", "duplicate": "left", "score": "right", "bits": "right", "linked by": "left"},
        [
            (
                group.keep if number == 0 else "",
                other.id,
                f"{other.score:.3f}",
                other.hash_distance,
                _why(other.reasons),
            )
            for group in groups
            for number, other in enumerate(group.members[1:])
        ],
    )
    extra = sum(len(group.members) - 1 for group in groups)
    console.say(f"{len(groups):,} groups of duplicates; {extra:,} of {view.count:,} items could be deleted.")
    if sheet is not None:
        from lookalike.contact_sheet import ContactSheet

        drawer = ContactSheet(library.images, library.settings, collection)
        console.note(f"Drew {drawer.write_groups(sheet, f'{collection}: duplicates', groups)}")


def _document(group: DuplicateGroup) -> dict[str, Any]:
    return {"keep": group.keep, "members": [asdict(member) for member in group.members]}


def _why(reasons: tuple[str, ...]) -> str:
    return " and ".join(reasons)
