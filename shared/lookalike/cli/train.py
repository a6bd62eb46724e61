"""`lookalike train`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.options import JsonOption, StoreOption
from lookalike.training.options import Loss

if TYPE_CHECKING:
    from lookalike.console import Console
    from lookalike.encoders import EncoderManifest
    from lookalike.library import Library
    from lookalike.progress import TrainingProgress
    from lookalike.publishing import Comparison, Publication
    from lookalike.training.child import TrainingResult
    from lookalike.training.options import TrainingOptions
    from lookalike.training.sources.dataset import Dataset

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
        str | None, typer.Option(metavar="COLUMN", help="Classes are this column of the metadata.")
    ] = None,
    loss: Annotated[Loss, typer.Option(help="What makes like pictures near.")] = "cosface",
    dimension: Annotated[int, typer.Option(help="Of the vectors.")] = 256,
    views: Annotated[int, typer.Option(help="Variants of each picture to learn from.")] = 6,
    last_stages: Annotated[
        bool, typer.Option("--last-stages", help="Train the end of the backbone too: better, slower.")
    ] = False,
    whole_network: Annotated[
        bool, typer.Option("--whole-network", help="Train all of the backbone: for a GPU.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="[default: as many as the phase needs]")] = None,
    blend: Annotated[
        float | None,
        typer.Option(help="Share of what is learnt, 0 to 1; the rest stays general.  [default: measured]"),
    ] = None,
    backbone: Annotated[str, typer.Option(help="As for `encoders build`.")] = "efficientnet-lite0",
    name: Annotated[str | None, typer.Option(help="Of the encoder.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    publish: Annotated[
        str | None, typer.Option(metavar="COLLECTION", help="Let it serve there if it is better.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write what it is worth, with plots.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train an encoder on pictures with classes. Stopped at any moment, it can be run again to go on."""
    from lookalike.console import Console
    from lookalike.library import Library
    from lookalike.training.options import TrainingOptions

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
        library.collections.get(publish)  # said now, and not after an hour
    dataset = _read(library, source, collection, label, console)
    run = library.cache / FOLDER / "runs" / dataset.fingerprint(options.to_json())
    result = _train(library, dataset, options, run, console)
    for note in result.document["notes"]:
        if note not in dataset.notes:
            console.warn(note)
    manifest = library.encoders.add(result.encoder)
    _tell(console, manifest, result)
    if report is not None:
        from lookalike.cli.train_report import write_report

        write_report(library, dataset, result, manifest, publish or collection, report, console)
    document = _as_json(manifest, dataset, run, result)
    if publish is None:
        console.document(document)
        _next_step(console, manifest, source, collection)
        return
    done = _publish(library, publish, manifest, dataset, result, console)
    console.document(document | {"publication": done.to_json()})
    if not done.published:
        raise typer.Exit(1)


def _read(
    library: Library, source: Path | None, collection: str | None, label: str | None, console: Console
) -> Dataset:
    from lookalike.training.sources.collection import collection_dataset
    from lookalike.training.sources.dataset import counted, read_source

    scratch = library.cache / FOLDER / "sources"
    if source is not None:
        dataset = read_source(source, scratch, label=label)
    else:
        assert collection is not None
        dataset = collection_dataset(library, collection, scratch, label=label)
    console.note(f"{counted(len(dataset.examples), 'picture')} of {counted(len(dataset.labels), 'class')}")
    for note in dataset.notes:
        console.warn(note)
    return dataset


def _train(
    library: Library, dataset: Dataset, options: TrainingOptions, run: Path, console: Console
) -> TrainingResult:
    from lookalike.console import stop_requested
    from lookalike.errors import LookalikeError, TrainingCancelled
    from lookalike.training.child import train_in_child

    with console.phases() as show:

        def progress(at: TrainingProgress) -> None:
            show(at.phase, at.done, at.total, numbers(at.loss, at.metrics), at.remaining_seconds)

        try:
            return train_in_child(
                dataset,
                options,
                run,
                cache=library.cache / FOLDER / "features",
                progress=progress,
                cancelled=stop_requested.is_set,
            )
        except LookalikeError as error:
            # Ctrl-C reaches the child too, and may end it before it is told to.
            if isinstance(error, TrainingCancelled) or stop_requested.is_set():
                raise KeyboardInterrupt from error
            raise


def numbers(loss: float | None, metrics: Mapping[str, float]) -> str:
    """Loss and metrics as they stand beside a bar: `loss 0.412 · mAP@R 0.703`."""
    shown = [] if loss is None else [f"loss {loss:.3f}"]
    return " · ".join([*shown, *(f"{TITLES.get(name, name)} {value:.3f}" for name, value in metrics.items())])


def _as_json(
    manifest: EncoderManifest, dataset: Dataset, run: Path, result: TrainingResult
) -> dict[str, Any]:
    return {
        "encoder": manifest.to_json(),
        "pictures": len(dataset.examples),
        "classes": len(dataset.labels),
        "notes": list(result.document["notes"]),
        "train": len(result.split["train"]),
        "validation": len(result.split["validation"]),
        "metrics": dict(result.metrics),
        "seconds": dict(result.seconds),
        "run": str(run),
    }


def _tell(console: Console, manifest: EncoderManifest, result: TrainingResult) -> None:
    shown = {name: value for name, value in result.metrics.items() if f"frozen_{name}" in result.metrics}
    console.table(
        {"": "left", "frozen": "right", "trained": "right"},
        [
            (TITLES.get(name, name), f"{result.metrics[f'frozen_{name}']:.3f}", f"{value:.3f}")
            for name, value in shown.items()
        ],
        title=f"{len(result.split['validation']):,} pictures that were held back ask, "
        f"{len(result.split['train']):,} that were learnt from answer",
    )
    console.say(f"{manifest.id}: trained in {result.seconds['total']:.0f} s.")


def _next_step(
    console: Console, manifest: EncoderManifest, source: Path | None, collection: str | None
) -> None:
    if collection is not None:
        console.note(f"Let it serve, if it is better: lookalike publish {collection} {manifest.id}")
    else:
        console.note(f"Use it: lookalike index {source} --collection NAME --encoder {manifest.id}")


def _publish(
    library: Library,
    collection: str,
    manifest: EncoderManifest,
    dataset: Dataset,
    result: TrainingResult,
    console: Console,
) -> Publication:
    from lookalike.cli.publish import compare
    from lookalike.publishing import judge_examples, publish_encoder

    known = {example.id: example for example in dataset.examples}
    train, validation = ([known[id_] for id_ in result.split[side]] for side in ("train", "validation"))

    def judge(old: str, new: str) -> Comparison:
        return judge_examples(library, collection, old, new, validation, train)

    with console.phases() as show:
        done = publish_encoder(
            library,
            collection,
            manifest.id,
            judge=judge,
            progress=lambda title, count, total: show(title, count, total, "", None),
        )
    if done.comparison:
        compare(console, done.comparison)
    if done.published:
        console.say(f"{collection} lives by {manifest.id} now.")
    else:
        console.warn(f"{manifest.id} was not published: {done.reason}.")
        console.note(f"All the same: lookalike publish {collection} {manifest.id} --force")
    return done
