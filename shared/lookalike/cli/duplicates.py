"""`lookalike duplicates`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.options import CollectionOption, JsonOption, StoreOption

if TYPE_CHECKING:
    from lookalike.cli.console import Console
    from lookalike.duplicates import DuplicateGroup
    from lookalike.library import Collection, Library

RELATIONS = ("same", "variant", "similar")


def duplicates(
    collection: CollectionOption,
    min_score: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Minimum cosine similarity of similar images.")
    ] = 0.95,
    max_hash_distance: Annotated[
        int, typer.Option(min=0, max=31, help="Maximum distance of two perceptual hashes, in bits of 256.")
    ] = 31,
    by: Annotated[
        str, typer.Option(metavar="vector|hash|both", help="How to find images to compare.")
    ] = "both",
    relation: Annotated[
        str, typer.Option(metavar="same|variant|similar|all", help="Which groups to show.")
    ] = "all",
    sheet: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw the groups.")] = None,
    not_duplicates: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Remember that these images are not duplicates. May be repeated."),
    ] = None,
    keep_all: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Remember to keep all of these images. May be repeated."),
    ] = None,
    forget: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Forget the decisions about these images. May be repeated."),
    ] = None,
    decisions: Annotated[bool, typer.Option("--decisions", help="List all decisions.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find images that are the same picture, variants and similar ones, and which of the same to keep."""
    if by not in {"vector", "hash", "both"}:
        raise typer.BadParameter("--by is vector, hash or both")
    if relation not in {*RELATIONS, "all"}:
        raise typer.BadParameter("--relation is same, variant, similar or all")
    from lookalike.cli.console import Console
    from lookalike.library import Library

    console = Console(as_json=as_json)
    library = Library.open(store)
    if not_duplicates or keep_all or forget or decisions:
        _decide(console, library.collection(collection), not_duplicates, keep_all, forget)
        return
    view = library.searcher(collection).state().view
    with console.bars() as progress:
        groups = library.collection(collection).duplicates(
            min_score=None if by == "hash" else min_score,
            max_hash_distance=None if by == "vector" else max_hash_distance,
            relations=RELATIONS if relation == "all" else (relation,),  # type: ignore[arg-type]  # checked above
            progress=progress,
        )
    console.document({"collection": collection, "items": view.count, "groups": list(map(_document, groups))})
    _print_groups(console, groups)
    same = [group for group in groups if group.relation == "same"]
    extra = sum(len(group.members) - 1 for group in same)
    others = {name: sum(group.relation == name for group in groups) for name in RELATIONS[1:]}
    console.say(
        f"{len(same):,} groups of the same picture: {extra:,} of {view.count:,} items could be deleted. "
        f"{others['variant']:,} groups of variants, {others['similar']:,} of similar images."
    )
    if sheet is not None:
        _draw(console, library, collection, groups, sheet)


def _decide(
    console: Console,
    collection: Collection,
    not_duplicates: Sequence[str] | None,
    keep_all: Sequence[str] | None,
    forget: Sequence[str] | None,
) -> None:
    """Apply decisions, then print all."""
    stored = collection.duplicate_decisions
    if not_duplicates:
        stored.add("not_duplicates", not_duplicates)
    if keep_all:
        stored.add("keep_all", keep_all)
    if forget:
        stored.remove(forget)
    known = stored.read()
    console.document({"collection": collection.name, "decisions": [asdict(each) for each in known.entries]})
    console.table(
        {"decision": "left", "images": "left", "at": "left"},
        [
            (each.kind.replace("_", " "), " · ".join((*each.ids, *each.others)), each.at)
            for each in known.entries
        ],
    )
    console.say(f"{len(known.entries):,} decisions are remembered.")


def _print_groups(console: Console, groups: Sequence[DuplicateGroup]) -> None:
    console.table(
        {
            "relation": "left",
            "keep": "left",
            "other": "left",
            "score": "right",
            "bits": "right",
            "why": "left",
        },
        [
            (
                group.relation if number == 0 else "",
                _first(group) if number == 0 else "",
                other.id,
                f"{other.score:.3f}",
                other.hash_distance,
                ", ".join(other.evidence) or f"linked by {' and '.join(other.reasons)}",
            )
            for group in groups
            for number, other in enumerate(group.members[1:])
        ],
    )


def _first(group: DuplicateGroup) -> str:
    return f"{group.keep} ({', '.join(group.kept_because)})" if group.kept_because else group.keep


def _draw(
    console: Console, library: Library, collection: str, groups: Sequence[DuplicateGroup], sheet: Path
) -> None:
    from lookalike.contact_sheet import ContactSheet

    drawer = ContactSheet(library.images, library.settings, collection)
    console.note(f"Drew {drawer.write_groups(sheet, f'{collection}: duplicates', groups)}")


def _document(group: DuplicateGroup) -> dict[str, Any]:
    return {
        "relation": group.relation,
        "keep": group.keep,
        "kept_because": list(group.kept_because),
        "members": [asdict(member) for member in group.members],
    }
