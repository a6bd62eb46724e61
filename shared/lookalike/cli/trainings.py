"""`lookalike trainings …`: trainings that were started over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.options import CollectionOption, JsonOption, StoreOption

if TYPE_CHECKING:
    from lookalike.training_jobs import Training, Trainings

app = typer.Typer(help="Trainings that a server runs: watch or cancel them.", no_args_is_help=True)

TrainingId = Annotated[str, typer.Argument(help="A training's id.")]


@app.command("list")
def list_all(collection: CollectionOption, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List a collection's trainings, the latest first."""
    from dataclasses import asdict

    from lookalike.cli.console import Console

    found = _trainings(store, collection).all()
    console = Console(as_json=as_json)
    console.document({"collection": collection, "trainings": [asdict(training) for training in found]})
    console.table(
        {
            **dict.fromkeys(("training", "source", "status"), "left"),
            "progress": "right",
            **dict.fromkeys(("encoder", "published", "created"), "left"),
        },
        [
            (
                each.id,
                each.source,
                each.status,
                _progress(each),
                each.encoder_id,
                each.published,
                each.created_at,
            )
            for each in found
        ],
    )


@app.command("show")
def show(
    collection: CollectionOption, training: TrainingId, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Show the state of a training, its results and its log."""
    from dataclasses import asdict

    from lookalike.cli.console import Console
    from lookalike.cli.publish import compare
    from lookalike.publishing import Comparison

    trainings = _trainings(store, collection)
    found = trainings.get(training)
    log = trainings.log(training)
    console = Console(as_json=as_json)
    console.document({**asdict(found), "log": log})
    rows: list[tuple[str, Any]] = [
        ("status", found.status),
        ("phase", f"{found.phase} {_progress(found)}".strip() or None),
        ("options", ", ".join(f"{name} {value}" for name, value in found.options.items())),
        ("encoder", found.encoder_id),
        ("published", found.published),
        ("reason", found.reason),
    ]
    console.table({"": "left", "value": "left"}, rows, title=f"{collection} {found.id}")
    console.table({"at": "left", "what": "left"}, [(line["at"], line["message"]) for line in log])
    if found.comparison:
        compare(console, Comparison.from_json(found.comparison))


@app.command("cancel")
def cancel(
    collection: CollectionOption, training: TrainingId, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Cancel a training. One that has ended does not change."""
    from dataclasses import asdict

    from lookalike.cli.console import Console

    trainings = _trainings(store, collection)
    found = trainings.update(training, cancel_requested=True)
    if found.status == "waiting_for_upload":  # no process is running yet that would notice
        found = trainings.finish(training, "cancelled", reason="cancelled by the user")
    console = Console(as_json=as_json)
    console.document(asdict(found))
    ends = "ends within seconds" if found.is_active else f"has ended: {found.status}"
    console.say(f"{training} {ends}.")


def _trainings(store: str | None, collection: str) -> Trainings:
    from lookalike.library import Library
    from lookalike.training_jobs import Trainings

    library = Library.open(store)
    return Trainings(library.artifacts, library.collections.get(collection).name)


def _progress(training: Training) -> str:
    if not training.total:
        return ""
    left = training.remaining_seconds
    return f"{100 * training.done // training.total} %" + (f", {left:.0f} s left" if left is not None else "")
