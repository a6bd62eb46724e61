"""`lookalike stats`, `reconcile` and `rejections`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.options import CollectionOption, JsonOption, OneOrAllOption, StoreOption

if TYPE_CHECKING:
    from lookalike.cli.console import Console
    from lookalike.ingest import IngestReport
    from lookalike.library import Library


def stats(
    collection: OneOrAllOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count the items of each collection, and show the snapshot in use."""
    from lookalike.cli.console import Console
    from lookalike.library import Library

    library = Library.open(store)
    console = Console(as_json=as_json)
    rows = [_stats_of(library, name) for name in _chosen(library, collection, console)]
    console.document({"collections": rows})
    columns = (
        "collection",
        "items",
        "rejected",
        "removed",
        "metadata_rows",
        "in_snapshot",
        "recall",
        "encoder",
    )
    console.table(
        {name: "left" if name in {"collection", "encoder"} else "right" for name in columns},
        [[row[name] for name in columns] for row in rows],
    )


def _chosen(library: Library, collection: str | None, console: Console) -> list[str]:
    """The collection, or all of the store that can be read. Notes the others."""
    if collection is not None:
        return [collection]
    readable, unreadable = library.collections.all()
    for name, error in unreadable.items():
        console.note(f"{name} is left out: {error}")
    return [config.name for config in readable]


def _stats_of(library: Library, name: str) -> dict[str, Any]:
    from lookalike.snapshots import current

    config = library.collections.get(name)
    found = asdict(library.catalogue(config).stats())
    serving = current(library.artifacts, name)
    recall = serving.index.measured.get("recall") if serving and serving.index else None
    return {
        "collection": name,
        "items": found.pop("live"),
        **found,
        "snapshot": serving.id if serving else None,
        "in_snapshot": serving.count if serving else 0,
        "recall": recall,
        "engine": config.engine,
        "metric": config.metric,
        "encoder": config.encoder_id,
    }


def rejections(
    collection: CollectionOption,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    limit: Annotated[int, typer.Option(min=1)] = 100,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List rejected images with the reason, and metadata rows that were skipped."""
    from lookalike.cli.console import Console
    from lookalike.library import Library

    library = Library.open(store)
    catalogue = library.catalogue(library.collections.get(collection))
    found = catalogue.rejections(offset, limit)
    problems = catalogue.metadata_problems()
    console = Console(as_json=as_json)
    console.document(
        {
            "collection": collection,
            "rejections": [asdict(rejection) for rejection in found],
            "metadata_problems": [asdict(problem) for problem in problems],
        }
    )
    console.table(
        {"image": "left", "reason": "left", "message": "left"},
        [(rejection.id, rejection.reason, rejection.message) for rejection in found],
    )
    if problems:
        console.table(
            {"metadata file": "left", "row": "right", "problem": "left"},
            [(problem.file, problem.row, problem.message) for problem in problems],
        )


def reconcile(
    collection: OneOrAllOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all objects, and repair what the catalogue missed: lost events, a new encoder."""
    from lookalike.cli.console import Console
    from lookalike.library import Library

    library = Library.open(store)
    console = Console(as_json=as_json)
    rows = []
    for name in _chosen(library, collection, console):
        report = library.ingestor.reconcile(name)
        rows.append({"collection": name, **_document(report)})
    console.document({"collections": rows})
    columns = ("collection", "encoded", "reused", "removed", "rejected", "metadata_files", "failed")
    console.table(
        {column: "left" if column == "collection" else "right" for column in columns},
        [[len(row[c]) if c == "failed" else row[c] for c in columns] for row in rows],
    )
    if any(row["failed"] for row in rows):
        raise typer.Exit(1)


def _document(report: IngestReport) -> dict[str, Any]:
    failed = [{"key": event.key, "reason": str(error)} for event, error in report.failed]
    problems = [asdict(problem) for problem in report.metadata_problems]
    counts = ("encoded", "reused", "removed", "rejected", "metadata_files", "metadata_rows")
    return {name: getattr(report, name) for name in counts} | {
        "metadata_problems": problems,
        "failed": failed,
    }
