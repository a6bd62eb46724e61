"""`lookalike demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.options import StoreOption


def demo(
    images: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A folder of your own images instead of emoji.")
    ] = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve the page at the end.")] = True,
    store: StoreOption = None,
) -> None:
    """Index two collections of emoji, search them, draw the results, and serve them."""
    import os

    from lookalike.demo.tour import main

    chosen = {"DEMO_SERVE": "1" if serve else "0"}
    if images is not None:
        chosen["DEMO_IMAGES"] = str(images)
    if store is not None:
        chosen["LOOKALIKE_STORE"] = store
    raise typer.Exit(main({**os.environ, **chosen}))
