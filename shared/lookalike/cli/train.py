"""`lookalike train`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from lookalike.cli.options import JsonOption, StoreOption
from lookalike.training.options import Loss

if TYPE_CHECKING:
    from lookalike.cli.console import Console, Phase
    from lookalike.encoders import EncoderManifest
    from lookalike.library import Library
    from lookalike.progress import TrainingProgress
    from lookalike.publishing import Comparison, Publication
    from lookalike.training.child import TrainingResult
    from lookalike.training.sources.dataset import Dataset
    from lookalike.training_jobs.progress_sinks import Trained
    from lookalike.training_jobs.records import Status
    from lookalike.training_jobs.workflow import Outcome, TrainingRequest

FOLDER = "training"
TITLES = {"recall_at_1": "recall@1", "map_at_r": "mAP@R"}
Source = Annotated[
    Path | None,
    typer.Argument(metavar="SOURCE", help="A folder with one folder per class, or a zip file of it."),
]
FromCollection = Annotated[
    str | None, typer.Option("--collection", "-c", metavar="NAME", help="Or a collection's items.")
]


def train(
    source: Source = None,
    collection: FromCollection = None,
    label: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Metadata column that holds the classes.")
    ] = None,
    loss: Annotated[Loss, typer.Option(help="What training minimises.")] = "cosface",
    dimension: Annotated[int, typer.Option(help="Dimension of the vectors.")] = 256,
    views: Annotated[int, typer.Option(help="Augmented variants of each image.")] = 6,
    last_stages: Annotated[
        bool, typer.Option("--last-stages", help="Train the end of the backbone too: better, slower.")
    ] = False,
    whole_network: Annotated[
        bool, typer.Option("--whole-network", help="Train all of the backbone: for a GPU.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="[default: as many as the phase needs]")] = None,
    blend: Annotated[
        float | None,
        typer.Option(help="Share of trained features, 0 to 1; the rest stays general.  [default: measured]"),
    ] = None,
    backbone: Annotated[str, typer.Option(help="As for `encoders build`.")] = "efficientnet-lite0",
    name: Annotated[str | None, typer.Option(help="Name of the encoder.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    publish: Annotated[
        str | None, typer.Option(metavar="COLLECTION", help="Publish it there if it is better.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a report with plots.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train an encoder on images with classes. Stop it at any moment; run it again to resume."""
    from lookalike.cli.console import Console
    from lookalike.errors import LookalikeError
    from lookalike.library import Library
    from lookalike.training.options import TrainingOptions
    from lookalike.training_jobs.workflow import TrainingRequest

    if (source is None) == (collection is None):
        raise typer.BadParameter("give either SOURCE or --collection")
    options = TrainingOptions(
        backbone=backbone,
        loss=loss,
        dimension=dimension,
        views=views,
        last_stages=last_stages,
        whole_network=whole_network,
        epochs=epochs,
        blend=blend,
        seed=seed,
        name=name,
    )
    library = Library.open(store)
    console = Console(as_json=as_json)
    if publish is not None:
        library.collections.get(publish)  # fail now, not after an hour
    request = TrainingRequest(
        options,
        files=(lambda: source) if source else None,
        items_of=collection,
        label=label,
        target=publish or collection,
        publish="if_better" if publish else None,
    )
    outcome = _run(library, request, report, console)
    document = _as_json(outcome.trained)
    if outcome.publication is None:
        console.document(document)
        _next_step(console, outcome.trained.manifest, source, collection)
    else:
        console.document(document | {"publication": outcome.publication.to_json()})
        _show_publication(console, outcome.publication)
    if report is not None:
        if outcome.report_problem is not None:
            raise LookalikeError("the report could not be drawn", got=outcome.report_problem)
        console.note(f"report: {report}")
    if outcome.publication is not None and not outcome.publication.published:
        raise typer.Exit(1)


def _run(library: Library, request: TrainingRequest, report: Path | None, console: Console) -> Outcome:
    from lookalike.cli.console import stop_requested
    from lookalike.errors import LookalikeError, TrainingCancelled
    from lookalike.publishing import EncodingCancelled
    from lookalike.training_jobs.folders import TrainingFolders
    from lookalike.training_jobs.workflow import Workflow

    folders = TrainingFolders.in_cache(library.cache, request.options, report)
    with ConsoleSink(console) as sink:
        workflow = Workflow(library, request, sink, baseline=lambda: _baseline(library, request.target))
        try:
            return workflow.run(folders)
        except LookalikeError as error:
            # Ctrl-C reaches the child too, and may end it before the parent notices.
            if isinstance(error, (TrainingCancelled, EncodingCancelled)) or stop_requested.is_set():
                raise KeyboardInterrupt from error
            raise


def _baseline(library: Library, collection: str | None) -> str | None:
    """The encoder that the report compares with: the collection's, or the newest default encoder."""
    from lookalike.encoders.registry import DEFAULT_ENCODER

    if collection is not None:
        return library.collections.get(collection).encoder_id
    known = [manifest for manifest in library.encoders.list() if manifest.name == DEFAULT_ENCODER]
    newest = max(known, key=lambda manifest: manifest.created_at, default=None)
    return newest.id if newest else None


class ConsoleSink:
    """The `ProgressSink` of a terminal: bars and notes on standard error, results on standard output."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = ExitStack()
        self._show: Phase | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def log(self, message: str) -> None:
        """Show a note."""
        self._console.note(message)

    def report(self, progress: TrainingProgress, status: Status | None = "running") -> None:
        """Move the bar of the phase."""
        if progress.phase == "preparing" and not progress.total:
            return
        if self._show is None:
            self._show = self._bars.enter_context(self._console.phases())
        text = numbers(progress.loss, progress.metrics)
        self._show(progress.phase, progress.done, progress.total, text, progress.remaining_seconds)

    def prepared(self, dataset: Dataset, *, resumed: bool) -> None:
        """Show what the data set holds."""
        from lookalike.text import counted

        self._close()
        self._console.note(
            f"{counted(len(dataset.examples), 'image')} of {counted(len(dataset.labels), 'class')}"
        )
        for note in dataset.notes:
            self._console.warn(note)

    def trained(self, trained: Trained) -> None:
        """Show the metrics of the encoder."""
        self._close()
        for note in trained.result.document["notes"]:
            if note not in trained.dataset.notes:
                self._console.warn(note)
        _show_metrics(self._console, trained.manifest, trained.result)

    def compared(self, comparison: Comparison) -> None:
        """Nothing: the publication shows it."""

    def is_cancelled(self) -> bool:
        """Whether Ctrl-C was pressed."""
        from lookalike.cli.console import stop_requested

        return stop_requested.is_set()

    def _close(self) -> None:
        self._bars.close()
        self._show = None


def numbers(loss: float | None, metrics: Mapping[str, float]) -> str:
    """Loss and metrics as shown next to a bar: `loss 0.412 · mAP@R 0.703`."""
    shown = [] if loss is None else [f"loss {loss:.3f}"]
    return " · ".join([*shown, *(f"{TITLES.get(name, name)} {value:.3f}" for name, value in metrics.items())])


def _as_json(trained: Trained) -> dict[str, Any]:
    dataset, result = trained.dataset, trained.result
    return {
        "encoder": trained.manifest.to_json(),
        "pictures": len(dataset.examples),
        "classes": len(dataset.labels),
        "notes": list(result.document["notes"]),
        "train": len(result.split["train"]),
        "validation": len(result.split["validation"]),
        "metrics": dict(result.metrics),
        "seconds": dict(result.seconds),
        "run": str(trained.run),
    }


def _show_metrics(console: Console, manifest: EncoderManifest, result: TrainingResult) -> None:
    shown = {name: value for name, value in result.metrics.items() if f"frozen_{name}" in result.metrics}
    console.table(
        {"": "left", "frozen": "right", "trained": "right"},
        [
            (TITLES.get(name, name), f"{result.metrics[f'frozen_{name}']:.3f}", f"{value:.3f}")
            for name, value in shown.items()
        ],
        title=f"{len(result.split['validation']):,} held-out queries against "
        f"{len(result.split['train']):,} training images",
    )
    console.say(f"{manifest.id}: trained in {result.seconds['total']:.0f} s.")


def _next_step(
    console: Console, manifest: EncoderManifest, source: Path | None, collection: str | None
) -> None:
    if collection is not None:
        console.note(f"Publish it if it is better: lookalike publish {collection} {manifest.id}")
    else:
        console.note(f"Use it: lookalike index {source} --collection NAME --encoder {manifest.id}")


def _show_publication(console: Console, done: Publication) -> None:
    from lookalike.cli.publish import compare

    if done.comparison:
        compare(console, done.comparison)
    if done.published:
        console.say(f"{done.collection} now uses {done.encoder_id} (was {done.previous_encoder}).")
    else:
        console.warn(f"{done.encoder_id} was not published: {done.reason}.")
        console.note(f"Publish it anyway: lookalike publish {done.collection} {done.encoder_id} --force")
