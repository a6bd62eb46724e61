"""`lookalike serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from lookalike.cli.options import JsonOption, StoreOption


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than loopback need API keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 8000,
    keys: Annotated[
        bool | None, typer.Option("--keys/--no-keys", help="Require API keys.  [default: unless on loopback]")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the HTTP API and the page. In a folder store, files put into the images folder are indexed."""
    from lookalike.cli.console import Console
    from lookalike.library import Library
    from lookalike.local import serve as serve_locally

    console = Console(as_json=as_json)

    def announce(url: str) -> None:
        console.document({"url": url})
        console.say(f"Serving on {url} until Ctrl-C.")

    serve_locally(Library.open(store).settings, host, port, keys_required=keys, announce=announce)
