"""`lookalike bridge …`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from lookalike.cli.options import CollectionOption, JsonOption, StoreOption

if TYPE_CHECKING:
    from lookalike.cli.console import Console
    from lookalike.snapshots import SnapshotManifest

app = typer.Typer(help="The bridge from words to images, part of each snapshot.", no_args_is_help=True)


@app.command("build")
def build(collection: CollectionOption, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Learn it again from the items' words, and publish it with a new snapshot."""
    from lookalike.cli.console import Console
    from lookalike.library import Library

    library = Library.open(store)
    console = Console(as_json=as_json)
    _print(console, library.build_snapshot(collection, progress=console.note, force=True))


@app.command("evaluate")
def evaluate(collection: CollectionOption, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show how well titles that it has not seen find their own images."""
    from lookalike.cli.console import Console
    from lookalike.errors import SnapshotNotFound
    from lookalike.library import Library
    from lookalike.snapshots import current

    library = Library.open(store)
    library.collections.get(collection)
    manifest = current(library.artifacts, collection)
    if manifest is None:
        raise SnapshotNotFound(
            "the collection has no snapshot yet", got=collection, fix="Run: lookalike snapshot build"
        )
    _print(Console(as_json=as_json), manifest)


def _print(console: Console, manifest: SnapshotManifest) -> None:
    text = manifest.text
    quality = text.quality if text else None
    reason = None if quality else (text.bridge_reason if text else manifest.text_confidence_reason)
    document: dict[str, Any] = {
        "collection": manifest.collection,
        "snapshot": manifest.id,
        "items_with_words": text.items if text else 0,
        "word_vectors": text.table_id if text else None,
        "quality": asdict(quality) if quality else None,
        "reason": reason,
    }
    console.document(document)
    if quality is None:
        console.say(f"No bridge: {reason}. Words alone are searched.")
        return
    console.table(
        {"": "left", "held out": "right", "by chance": "right"},
        [
            ("recall@1", f"{quality.recall_1:.3f}", f"{quality.chance_1:.3f}"),
            ("recall@5", f"{quality.recall_5:.3f}", None),
            ("recall@10", f"{quality.recall_10:.3f}", f"{quality.chance_10:.3f}"),
        ],
    )
    console.say(
        f"{quality.titles:,} titles that were held out, each among {quality.images:,} images of all of them; "
        f"then learned from all {text.items if text else 0:,} items with words"
    )
