"""`lookalike trash …`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from lookalike.cli.options import CollectionOption, ForceOption, JsonOption, StoreOption, agreed
from lookalike.errors import InvalidInput
from lookalike.text import counted

app = typer.Typer(help="Deleted items of a collection. They are kept for 30 days.", no_args_is_help=True)


@app.command("list")
def list_all(
    collection: CollectionOption,
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 100,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List deleted items, the latest first."""
    from lookalike.cli.console import Console
    from lookalike.library import Library

    library = Library.open(store)
    library.collections.check_exists(collection)
    entries = library.trash(collection).entries(limit)
    console = Console(as_json=as_json)
    console.document({"collection": collection, "items": [asdict(entry) for entry in entries]})
    console.table(
        {"id": "left", "deleted": "left", "expires": "left", "bytes": "right"},
        [(entry.id, entry.deleted_at, entry.expires_at, f"{entry.size_bytes:,}") for entry in entries],
    )


@app.command("restore")
def restore(
    collection: CollectionOption,
    ids: Annotated[list[str], typer.Argument(help="Ids of deleted items.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Items that have these ids now go to the trash.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move items back from the trash, and index them."""
    from lookalike.cli.console import Console
    from lookalike.library import Library

    count = Library.open(store).collection(collection).restore(ids, replace=replace)
    console = Console(as_json=as_json)
    console.document({"collection": collection, "restored": count})
    console.say(f"Restored {counted(count, 'item')}.")


@app.command("empty")
def empty(
    collection: CollectionOption,
    yes: ForceOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove all deleted items permanently."""
    from lookalike.cli.console import Console
    from lookalike.library import Library

    library = Library.open(store)
    library.collections.check_exists(collection)
    if not yes and not agreed(f"Permanently remove the deleted items of {collection}? [y/N] "):
        raise InvalidInput("nothing was removed", fix="Answer y, or pass --yes.")
    count = library.trash(collection).empty()
    console = Console(as_json=as_json)
    console.document({"collection": collection, "removed": count})
    console.say(f"Removed {counted(count, 'item')}.")
