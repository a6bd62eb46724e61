"""`lookalike encoders …`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import JsonOption, StoreOption
from lookalike.types import Precision

if TYPE_CHECKING:
    from lookalike.encoders import EncoderManifest

app = typer.Typer(help="Encoders: what turns a picture into a vector.", no_args_is_help=True)

BUILD_LOCK = "encoders/.build.lock"


@app.command("list")
def list_all(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the store's encoders."""
    from lookalike.console import Console
    from lookalike.workspace import Workspace

    manifests = Workspace.at(store).encoders.list()
    console = Console(as_json=as_json)
    console.document({"encoders": [manifest.to_json() for manifest in manifests]})
    console.table(
        {"encoder": "left", "dimension": "right", "pixels": "right", "precisions": "left", "made": "left"},
        [
            (m.id, m.dimension, m.preprocess.size, ", ".join(sorted(m.precisions)), m.created_at)
            for m in manifests
        ],
    )


@app.command("add")
def add(
    folder: Annotated[Path, typer.Argument(help="A folder with encoder.json and its model files.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy an encoder into the store."""
    from lookalike.workspace import Workspace

    _print(Workspace.at(store).encoders.add(folder), as_json)


@app.command("build")
def build(
    backbone: Annotated[
        str, typer.Argument(help="A preset, a TF-Hub handle, or a SavedModel folder.")
    ] = "efficientnet-lite0",
    calibrate: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Pictures like those to come; they make int8 possible."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the encoder.  [default: the backbone's]")] = None,
    size: Annotated[
        int | None, typer.Option(min=8, help="Input side in pixels, where the backbone leaves it open.")
    ] = None,
    require_int8: Annotated[bool, typer.Option(help="Fail when int8 departs too far from fp32.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export a backbone as an encoder and add it to the store."""
    import tempfile

    from lookalike.console import Console
    from lookalike.default_encoder import CALIBRATION_PICTURES, read_pictures, spread
    from lookalike.source import Source
    from lookalike.training.apart import build_encoder_apart
    from lookalike.workspace import Workspace

    console = Console(as_json=as_json)
    encoders = Workspace.at(store).encoders
    calibration = None
    if calibrate is not None:
        source = Source.scan(calibrate)
        files = spread([source.folder / picture for picture in source.pictures], CALIBRATION_PICTURES)
        calibration = list(read_pictures(files))
    with tempfile.TemporaryDirectory(prefix="lookalike-encoder-") as scratch:
        folder = Path(scratch) / "encoder"
        build_encoder_apart(
            backbone,
            folder,
            calibration=calibration,
            progress=console.note,
            name=name,
            size=size,
            require_int8=require_int8,
        )
        manifest = encoders.add(folder)
    _print(manifest, as_json)


@app.command("compare")
def compare(
    encoders: Annotated[list[str] | None, typer.Argument(help="Ids or names.  [default: all]")] = None,
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Labelled items to use.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Or pictures; their first folder is the label.")
    ] = None,
    sample: Annotated[int, typer.Option(min=10, help="Pictures at most.")] = 1_000,
    precision: Annotated[Precision | None, typer.Option(help="[default: each encoder's own]")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare encoders on the same labelled pictures: recall@1 (the nearest other has the same label)."""
    from dataclasses import asdict

    from lookalike.cli import compare as comparing
    from lookalike.console import Console
    from lookalike.workspace import Workspace

    if (collection is None) == (source is None):
        raise typer.BadParameter("give either --collection or --source")
    workspace = Workspace.at(store)
    console = Console(as_json=as_json)
    if collection is not None:
        pictures = comparing.from_collection(workspace, collection, sample)
    else:
        assert source is not None
        pictures = comparing.from_folder(source, sample)
    ids = encoders or [manifest.id for manifest in workspace.encoders.list()]
    rows = comparing.compare(workspace.encoders, ids, pictures, precision, console)
    console.document({"pictures": len(pictures), "encoders": [asdict(row) for row in rows]})
    console.table(
        {
            "encoder": "left",
            "precision": "left",
            "recall@1": "right",
            "dimension": "right",
            "MB": "right",
            "ms/picture": "right",
        },
        [
            (
                r.encoder,
                r.precision,
                f"{r.recall_at_1:.3f}",
                r.dimension,
                f"{r.size_bytes / 1e6:.1f}",
                r.milliseconds,
            )
            for r in rows
        ],
        title=f"{len(pictures)} pictures",
    )


def _print(manifest: EncoderManifest, as_json: bool) -> None:
    from lookalike.console import Console

    console = Console(as_json=as_json)
    console.document(manifest.to_json())
    console.say(manifest.id)
