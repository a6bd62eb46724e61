"""`lookalike index`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import CollectionOption, JsonOption, StoreOption
from lookalike.types import Engine, Metric

if TYPE_CHECKING:
    from lookalike.cli.console import Console
    from lookalike.sources.indexing import IndexReport

SHOWN_PROBLEMS = 10


def index(
    source: Annotated[
        Path, typer.Argument(help="A folder of images, with CSV, JSONL or Parquet metadata next to them.")
    ],
    collection: CollectionOption,
    encoder: Annotated[str | None, typer.Option(help="For a new collection.  [default: the store's]")] = None,
    metric: Annotated[Metric | None, typer.Option(help="For a new collection.  [default: cosine]")] = None,
    engine: Annotated[Engine | None, typer.Option(help="For a new collection.  [default: annoy]")] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=256, help="Images committed together; a kill loses at most these.")
    ] = 256,
    snapshot: Annotated[bool, typer.Option(help="Build a snapshot if one is needed.")] = True,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Index a folder of images into a collection. Stop it at any moment; run it again to resume."""
    from lookalike.cli.console import Console
    from lookalike.library import Library
    from lookalike.sources.indexing import index_folder

    library = Library.open(store)
    options = {"metric": metric, "engine": engine}
    given: dict[str, str] = {name: value for name, value in options.items() if value is not None}
    if encoder:
        given["encoder_id"] = library.encoders.get(encoder).id
    console = Console(as_json=as_json)
    with console.bars() as progress:
        report = index_folder(
            library, source, collection, progress=progress, snapshot=snapshot, batch=batch, **given
        )
    console.document(asdict(report))
    _print(console, report)
    if report.failed:
        raise typer.Exit(1)
    place = f" --store {quote(store)}" if store else ""
    console.note(f"Search it: lookalike search IMAGE --collection {collection}{place}")
    console.note(f"On a page: lookalike serve{place}")


def _print(console: Console, report: IndexReport) -> None:
    known = f", {report.reused:,} moved" if report.reused else ""
    rate = report.pictures / report.seconds if report.seconds else 0.0
    console.say(
        f"{report.collection}: {report.pictures:,} images; {report.encoded:,} encoded{known}, "
        f"{report.unchanged:,} unchanged, {report.rejected:,} rejected; "
        f"{report.seconds:.1f} s, {rate:,.0f} images/s"
    )
    if report.ignored:
        console.warn(f"{report.ignored:,} other files were ignored.")
    for skipped in report.skipped:
        console.warn(f"Skipped {skipped['name']}: {skipped['reason']}")
    if report.rejected:
        console.warn(f"Why images were rejected: lookalike rejections --collection {report.collection}")
    for problem in report.metadata_problems[:SHOWN_PROBLEMS]:
        console.warn(f"{problem['file']} row {problem['row']}: {problem['message']}")
    if len(report.metadata_problems) > SHOWN_PROBLEMS:
        console.warn(f"… and {len(report.metadata_problems) - SHOWN_PROBLEMS:,} more such rows.")
    for failure in report.failed[:SHOWN_PROBLEMS]:
        console.warn(f"{failure['key']}: {failure['reason']}")
    if report.failed:
        console.warn(f"{len(report.failed):,} files could not be indexed. Run the same command to try again.")
    if report.unencoded:
        console.warn(
            f"{report.unencoded:,} items are not encoded with {report.encoder} yet: no new snapshot. "
            f"Run: lookalike reconcile --collection {report.collection}"
        )
