"""`lookalike serve`."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import JsonOption, StoreOption

if TYPE_CHECKING:
    from lookalike.library import Library


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback requires API keys.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 chooses a free one.")
    ] = 8000,
    keys: Annotated[
        bool | None, typer.Option("--keys/--no-keys", help="Require API keys.  [default: unless on loopback]")
    ] = None,
    first_key: Annotated[
        bool, typer.Option(help="If the store has no API key, create one and print it, only now.")
    ] = False,
    encoder: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="If the store has no encoder, add this one.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the HTTP API and the page. In a folder store, files put into the images folder are indexed."""
    from lookalike.api.http.envelope import is_loopback
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
            console.say(f"API key, shown only now: {created}")
        console.say(f"Serving on {url} until Ctrl-C.")
        console.note(
            _next_step(library, url, is_keyed=not is_loopback(host) if keys is None else keys, store=store)
        )

    serve_locally(library.settings, host, port, keys_required=keys, announce=announce)


def _next_step(library: Library, url: str, *, is_keyed: bool, store: str | None) -> str:
    """The next step with a running server, as a command to copy."""
    names = library.collections.names()
    if not names:
        place = f" --store {quote(store)}" if store else ""
        return f"No collection yet. In another terminal: lookalike index FOLDER --collection NAME{place}"
    key = '-H "Authorization: Bearer $KEY" ' if is_keyed else ""
    return f"Search {names[0]}: curl {key}-F image=@IMAGE {url}/collections/{names[0]}/search"
