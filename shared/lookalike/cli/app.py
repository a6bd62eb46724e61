"""The command tree. Command modules import what they need when they run, so that `--help` stays quick."""

from __future__ import annotations

from typing import Annotated

import typer

from lookalike.cli import (
    bridge,
    collections,
    demo,
    duplicates,
    encoders,
    evaluate,
    index,
    keys,
    maintenance,
    match,
    neighbors,
    publish,
    search,
    serve,
    snapshot,
    train,
    trainings,
    trash,
)

app = typer.Typer(
    help="Find similar images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lookalike {version('lookalike')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find similar images."""


app.command("demo")(demo.demo)
app.command("index")(index.index)
app.command("search")(search.search)
app.command("serve")(serve.serve)
app.command("evaluate")(evaluate.evaluate)
app.command("neighbors")(neighbors.neighbors)
app.command("duplicates")(duplicates.duplicates)
app.command("match")(match.match)
app.add_typer(collections.app, name="collections")
app.add_typer(encoders.app, name="encoders")
app.add_typer(snapshot.app, name="snapshot")
app.add_typer(bridge.app, name="bridge")
app.add_typer(keys.app, name="keys")
app.add_typer(trainings.app, name="trainings")
app.add_typer(trash.app, name="trash")
app.command("train")(train.train)
app.command("publish")(publish.publish)
app.command("rollback")(publish.rollback)
app.command("reconcile")(maintenance.reconcile)
app.command("stats")(maintenance.stats)
app.command("rejections")(maintenance.rejections)
