"""`lookalike keys …`: API keys of the store."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from lookalike.cli.options import JsonOption, StoreOption

app = typer.Typer(help="API keys: shown once, stored hashed.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="The person or program that will use it.")],
    scope: Annotated[
        list[str] | None, typer.Option(metavar="read|write", help="May be repeated.  [default: both]")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key and show it, only now."""
    from lookalike.api.keys import SCOPES, Keys
    from lookalike.cli.console import Console
    from lookalike.library import Library

    if unknown := set(scope or ()) - set(SCOPES):
        raise typer.BadParameter(f"--scope is read or write, not {', '.join(sorted(unknown))}")
    scopes = [known for known in SCOPES if not scope or known in scope]
    created = Keys(Library.open(store).artifacts).create(name, scopes)
    console = Console(as_json=as_json)
    console.document({"key": created.key, **asdict(created.info)})
    console.say(created.key)
    console.note(
        f"Key {created.info.id} ({', '.join(created.info.scopes)}). It is not shown again: store it safely."
    )


@app.command("list")
def show(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the active keys, without their secrets."""
    from lookalike.api.keys import Keys
    from lookalike.cli.console import Console
    from lookalike.library import Library

    keys = Keys(Library.open(store).artifacts).list()
    console = Console(as_json=as_json)
    console.document({"keys": [asdict(key) for key in keys]})
    console.table(
        {"id": "left", "name": "left", "scopes": "left", "created": "left"},
        [(key.id, key.name, ", ".join(key.scopes), key.created_at) for key in keys],
    )


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key."""
    from lookalike.api.keys import Keys
    from lookalike.cli.console import Console
    from lookalike.library import Library

    info = Keys(Library.open(store).artifacts).revoke(key_id)
    console = Console(as_json=as_json)
    console.document({"revoked": asdict(info)})
    console.say(f"Revoked {info.id} ({info.name}).")
