"""`lookalike index`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import CollectionOption, JsonOption, StoreOption
from lookalike.types import Engine, Metric

if TYPE_CHECKING:
    from lookalike.console import Console
    from lookalike.sources.indexing import IndexReport

SHOWN_PROBLEMS = 10


def index(
    source: Annotated[
        Path, typer.Argument(help="A folder of pictures, with CSV, JSONL or Parquet beside them.")
    ],
    collection: CollectionOption,
    encoder: Annotated[str | None, typer.Option(help="Of a new collection.  [default: the store's]")] = None,
    metric: Annotated[Metric | None, typer.Option(help="Of a new collection.  [default: cosine]")] = None,
    engine: Annotated[Engine | None, typer.Option(help="Of a new collection.  [default: annoy]")] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=256, help="Pictures committed together; what a kill can cost.")
    ] = 256,
    snapshot: Annotated[bool, typer.Option(help="Build a snapshot if many pictures are new.")] = True,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a folder of pictures into a collection. Stopped at any moment, it can be run again to go on."""
    from lookalike.console import Console
    from lookalike.sources.indexing import index_folder
    from lookalike.workspace import Workspace

    workspace = Workspace.at(store)
    options = {"metric": metric, "engine": engine}
    given: dict[str, str] = {name: value for name, value in options.items() if value is not None}
    if encoder:
        given["encoder_id"] = workspace.encoders.get(encoder).id
    console = Console(as_json=as_json)
    report = index_folder(workspace, source, collection, console, snapshot=snapshot, batch=batch, **given)
    console.document(asdict(report))
    _tell(console, report)
    if report.failed:
        raise typer.Exit(1)


def _tell(console: Console, report: IndexReport) -> None:
    known = f", {report.reused:,} moved" if report.reused else ""
    rate = report.pictures / report.seconds if report.seconds else 0.0
    console.say(
        f"{report.collection}: {report.pictures:,} pictures; {report.encoded:,} encoded{known}, "
        f"{report.unchanged:,} unchanged, {report.rejected:,} rejected; "
        f"{report.seconds:.1f} s, {rate:,.0f} pictures/s"
    )
    if report.ignored:
        console.warn(f"{report.ignored:,} other files were left out.")
    for skipped in report.skipped:
        console.warn(f"{skipped['name']} is left out: {skipped['reason']}")
    if report.rejected:
        console.warn(
            f"`lookalike rejections --collection {report.collection}` says why pictures were rejected."
        )
    for problem in report.metadata_problems[:SHOWN_PROBLEMS]:
        console.warn(f"{problem['file']} row {problem['row']}: {problem['message']}")
    if len(report.metadata_problems) > SHOWN_PROBLEMS:
        console.warn(f"… and {len(report.metadata_problems) - SHOWN_PROBLEMS:,} more such rows.")
    for failure in report.failed[:SHOWN_PROBLEMS]:
        console.warn(f"{failure['key']}: {failure['reason']}")
    if report.failed:
        console.warn(
            f"{len(report.failed):,} files could not be taken in. Run the same command to try again."
        )
