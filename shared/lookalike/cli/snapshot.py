"""`lookalike snapshot …`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.options import CollectionOption, JsonOption, StoreOption

if TYPE_CHECKING:
    from lookalike.snapshots import SnapshotManifest

app = typer.Typer(help="Snapshots: the published index of a collection.", no_args_is_help=True)


@app.command("build")
def build(
    collection: CollectionOption,
    force: Annotated[bool, typer.Option("--force", help="Build even if nothing has changed.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a snapshot of all items and publish it."""
    from lookalike.cli.console import Console
    from lookalike.library import Library

    library = Library.open(store)
    console = Console(as_json=as_json)
    manifest = library.build_snapshot(collection, progress=console.note, force=force)
    console.document(summary(manifest))
    console.say(f"{manifest.id}: {manifest.count:,} items")


@app.command("list")
def list_all(collection: CollectionOption, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List a collection's snapshots, newest first."""
    from lookalike.cli.console import Console
    from lookalike.library import Library
    from lookalike.snapshots import current, list_snapshots

    library = Library.open(store)
    library.collections.get(collection)
    serving = current(library.artifacts, collection)
    rows = [
        {**summary(manifest), "current": serving is not None and manifest.id == serving.id}
        for manifest in list_snapshots(library.artifacts, collection)
    ]
    console = Console(as_json=as_json)
    console.document({"collection": collection, "snapshots": rows})
    columns = ("id", "current", "items", "engine", "recall", "latency_ms", "encoder", "created_at")
    console.table(
        {name: "left" if name in {"id", "current", "engine", "encoder"} else "right" for name in columns},
        [
            ["●" if row[name] is True else "" if row[name] is False else row[name] for name in columns]
            for row in rows
        ],
    )


def summary(manifest: SnapshotManifest) -> dict[str, Any]:
    """What `snapshot build` and `snapshot list` report."""
    index = manifest.index
    measured: Mapping[str, Any] = index.measured if index else {}
    return {
        "id": manifest.id,
        "collection": manifest.collection,
        "items": manifest.count,
        "engine": index.engine if index else None,
        "metric": manifest.metric,
        "parameters": dict(index.parameters) if index else {},
        "recall": measured.get("recall"),
        "latency_ms": measured.get("latency_ms"),
        "calibrated": manifest.confidence is not None,
        "encoder": manifest.encoder_id,
        "created_at": manifest.created_at,
    }
