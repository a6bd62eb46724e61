"""`lookalike publish` and `lookalike rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import JsonOption, StoreOption

if TYPE_CHECKING:
    from lookalike.cli.console import Console
    from lookalike.publishing import Comparison, Publication

Collection = Annotated[str, typer.Argument(help="The collection.")]


def publish(
    collection: Collection,
    encoder: Annotated[str, typer.Argument(help="Id or name of an encoder in the store.")],
    force: Annotated[
        bool, typer.Option("--force", help="Publish even if it is not better or cannot be compared.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Encode a collection with another encoder, and use that encoder if it is better.

    Searches continue meanwhile, and switch at one moment. `rollback` restores the previous encoder.
    """
    from lookalike.cli.console import Console
    from lookalike.library import Library
    from lookalike.publishing import publish_encoder

    library = Library.open(store)
    console = Console(as_json=as_json)
    with console.bars() as progress:
        done = publish_encoder(library, collection, encoder, force=force, progress=progress)
    _show(console, done)
    if not done.published:
        raise typer.Exit(1)


def rollback(collection: Collection, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Restore the previous encoder and its index."""
    from lookalike.cli.console import Console
    from lookalike.library import Library
    from lookalike.publishing import rollback as restore_previous

    console = Console(as_json=as_json)
    with console.bars() as progress:
        done = restore_previous(Library.open(store), collection, progress=progress)
    _show(console, done)


def _show(console: Console, done: Publication) -> None:
    console.document(done.to_json())
    if done.comparison:
        compare(console, done.comparison)
    if not done.published:
        console.warn(
            f"{done.encoder_id} was not published: {done.reason}. Use `--force` to publish it anyway."
        )
        return
    console.say(f"{done.collection} now uses {done.encoder_id} (was {done.previous_encoder}).")
    if done.left_out:
        console.warn(f"{done.left_out:,} items were left out: their images can no longer be read.")


def compare(console: Console, comparison: Comparison) -> None:
    """A table of both encoders' numbers."""
    names = {
        "recall_at_1": "R@1",
        "recall_at_5": "R@5",
        "recall_at_10": "R@10",
        "map_at_r": "mAP@R",
        "recall_at_precision": "R@P.95",
    }
    rows = [
        (title, measured.encoder_id, *(f"{getattr(measured, name) or 0.0:.3f}" for name in names))
        for title, measured in (("in use", comparison.old), ("new", comparison.new))
    ]
    console.table(
        {"": "left", "encoder": "left", **dict.fromkeys(names.values(), "right")},
        rows,
        title=f"{comparison.queries:,} queries of {comparison.classes:,} classes: {comparison.basis}",
    )
