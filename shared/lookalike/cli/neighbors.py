"""`lookalike neighbors`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.options import CollectionOption, JsonOption, StoreOption


def neighbors(
    collection: CollectionOption,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The JSON file to write.")
    ] = Path("neighbors.json"),
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, max=1_000, help="Neighbors per item.")] = 10,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the nearest neighbors of every item to one JSON file."""
    from lookalike.cli.console import Console
    from lookalike.library import Library
    from lookalike.neighbors import write_neighbors

    console = Console(as_json=as_json)
    state = Library.open(store).searcher(collection).state()
    with console.progress("neighbours", state.view.count) as advance:
        count = write_neighbors(output, collection, state, limit, progress=advance)
    console.document({"collection": collection, "file": str(output), "items": count, "k": limit})
    console.say(f"Wrote the {limit} nearest of {count:,} items to {output}.")
