"""`lookalike serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.options import JsonOption, StoreOption


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than loopback need API keys.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 chooses a free one.")
    ] = 8000,
    keys: Annotated[
        bool | None, typer.Option("--keys/--no-keys", help="Require API keys.  [default: unless on loopback]")
    ] = None,
    first_key: Annotated[
        bool, typer.Option(help="If the store has no API key, create one and print it, this once.")
    ] = False,
    encoder: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="If the store has no encoder, add this one.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the HTTP API and the page. In a folder store, files put into the images folder are indexed."""
    from lookalike.api.keys import SCOPES, Keys
    from lookalike.cli.console import Console
    from lookalike.library import Library
    from lookalike.local import serve as serve_locally

    console = Console(as_json=as_json)
    library = Library.open(store)
    if encoder is not None and not library.encoders.list():
        library.encoders.add(encoder)
    known = Keys(library.artifacts)
    created = known.create("first", SCOPES).key if first_key and not known.list() else None

    def announce(url: str) -> None:
        console.document({"url": url} | ({"key": created} if created else {}))
        if created:
            console.say(f"API key, shown this once: {created}")
        console.say(f"Serving on {url} until Ctrl-C.")

    serve_locally(library.settings, host, port, keys_required=keys, announce=announce)
