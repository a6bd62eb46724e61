"""`lookalike evaluate` and `lookalike encoders compare`: how well encoders find similar images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import JsonOption, StoreOption
from lookalike.types import Precision

if TYPE_CHECKING:
    from lookalike.cli.console import Console
    from lookalike.evaluation import EvaluationReport
    from lookalike.evaluation.compare_encoders import Encoded, LabelledImage
    from lookalike.library import Library

EncodersArgument = Annotated[
    list[str] | None, typer.Argument(help="Ids or names; the others are compared with the first.")
]
CollectionOption = Annotated[
    str | None, typer.Option("--collection", "-c", metavar="NAME", help="Labelled items to use.")
]
SourceOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Or images (a folder or zip file); the first folder is the label."),
]
LabelOption = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Metadata column to use as the label instead.")
]
TargetOption = Annotated[float, typer.Option(min=0.01, max=1.0, help="Target precision of the threshold.")]
ReportOption = Annotated[
    Path | None, typer.Option(metavar="FILE.html", help="Write the report, with plots, here.")
]
QueriesOption = Annotated[int, typer.Option(min=10, help="Maximum number of queries in leave-one-out.")]
LeaveOneOutOption = Annotated[
    bool, typer.Option("--leave-one-out", help="Use every image as a query, even if some are held out.")
]
PrecisionOption = Annotated[
    Precision | None, typer.Option(help="fp32 or int8.  [default: each encoder's own]", show_default=False)
]


def evaluate(
    encoders: EncodersArgument = None,
    collection: CollectionOption = None,
    source: SourceOption = None,
    label: LabelOption = None,
    precision_target: TargetOption = 0.92,
    report: ReportOption = None,
    queries: QueriesOption = 2_000,
    leave_one_out: LeaveOneOutOption = False,
    precision: PrecisionOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how well an encoder finds images of the same category, and compare several encoders.

    Queries are images that are held out: those that a training did not see, or that the metadata column
    `split` calls validation. Otherwise every image is a query against all the others (leave-one-out).
    """
    from lookalike.cli.console import Console
    from lookalike.cli.evaluation_tables import print_evaluation
    from lookalike.library import Library

    library = Library.open(store)
    console = Console(as_json=as_json)
    _check(collection, source)
    ids = encoders or _own_encoder(library, collection)
    request = _Request(
        collection,
        source,
        label,
        sample=None,
        queries=queries,
        precision=precision,
        precision_target=precision_target,
        leave_one_out=leave_one_out,
        report=report,
    )
    result, encoded = _run(library, console, ids, request)
    console.document(result.to_json() | {"unreadable": encoded.unreadable})
    print_evaluation(console, result)


def compare(
    encoders: EncodersArgument = None,
    collection: CollectionOption = None,
    source: SourceOption = None,
    label: LabelOption = None,
    sample: Annotated[int, typer.Option(min=10, help="Maximum number of images.")] = 1_000,
    precision_target: TargetOption = 0.92,
    report: ReportOption = None,
    precision: PrecisionOption = None,
    leave_one_out: LeaveOneOutOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare encoders on the same labelled images: precision, recall, thresholds, size and time."""
    from lookalike.cli.console import Console
    from lookalike.cli.evaluation_tables import print_evaluation
    from lookalike.library import Library

    library = Library.open(store)
    console = Console(as_json=as_json)
    _check(collection, source)
    ids = encoders or [manifest.id for manifest in library.encoders.list()]
    request = _Request(
        collection,
        source,
        label,
        sample=sample,
        queries=sample,
        precision=precision,
        precision_target=precision_target,
        leave_one_out=leave_one_out,
        report=report,
    )
    result, encoded = _run(library, console, ids, request)
    console.document(_comparison(library, result, encoded))
    print_evaluation(console, result)


def _check(collection: str | None, source: Path | None) -> None:
    if (collection is None) == (source is None):
        raise typer.BadParameter("give either --collection or --source")


def _own_encoder(library: Library, collection: str | None) -> list[str]:
    """The collection's encoder; for a folder, every encoder of the store."""
    if collection is not None:
        return [library.collections.get(collection).encoder_id]
    return [manifest.id for manifest in library.encoders.list()]


@dataclass(frozen=True, slots=True)
class _Request:
    """What is evaluated, and how; see the options of these names."""

    collection: str | None
    source: Path | None
    label: str | None
    sample: int | None
    queries: int
    precision: Precision | None
    precision_target: float
    leave_one_out: bool
    report: Path | None


def _run(
    library: Library, console: Console, ids: list[str], request: _Request
) -> tuple[EvaluationReport, Encoded]:
    """Read images, evaluate, write the report."""
    import tempfile

    from lookalike.evaluation.compare_encoders import evaluate_encoders, thumbnails

    if not ids:
        raise typer.BadParameter("the store has no encoder; build one with: lookalike encoders build")
    with tempfile.TemporaryDirectory(prefix="lookalike-evaluate-") as scratch:
        images, notes = _images(library, request, Path(scratch))
        with console.progress("encoding", len(images)) as advance:
            result, encoded = evaluate_encoders(
                library.encoders,
                ids,
                images,
                title=f"Retrieval quality: {request.collection or request.source}",
                precision=request.precision,
                precision_target=request.precision_target,
                leave_one_out=request.leave_one_out,
                queries=request.queries,
                layout=request.report is not None,
                notes=notes,
                advance=advance,
                progress=console.note,
            )
        if request.report is not None:
            from lookalike.evaluation.html import write_html

            console.note("drawing the report")
            console.note(f"report: {write_html(result, request.report, thumbnails(encoded.images))}")
    return result, encoded


def _images(
    library: Library, request: _Request, scratch: Path
) -> tuple[list[LabelledImage], tuple[str, ...]]:
    """The labelled images of the request, and notes on what was left out."""
    from lookalike.evaluation.compare_encoders import LabelledImage, from_collection, spread
    from lookalike.training.sources.read_source import read_source

    if request.collection is not None:
        return from_collection(library, request.collection, request.sample, request.label), ()
    assert request.source is not None
    dataset = read_source(request.source, scratch, label=request.label)
    return [
        LabelledImage(example.id, example.path.read_bytes, example.label, example.split)
        for example in spread(dataset.examples, request.sample)
    ], dataset.notes


def _comparison(library: Library, result: EvaluationReport, encoded: Encoded) -> dict[str, object]:
    lines = []
    for encoder in result.encoders:
        manifest = library.encoders.get(encoder.name)
        used: Precision = "int8" if encoder.facts["precision of the model"] == "int8" else "fp32"
        lines.append(
            {
                "encoder": encoder.name,
                "precision": used,
                **{key: round(interval.value, 4) for key, interval in encoder.metrics.items()},
                "threshold": encoder.threshold.score,
                "dimension": encoder.dimension,
                "size_bytes": manifest.precision(used).size_bytes,
                "milliseconds": encoded.milliseconds[encoder.name],
                "pictures": len(encoded.images),
            }
        )
    return {"pictures": len(encoded.images), "split": result.split, "encoders": lines}
