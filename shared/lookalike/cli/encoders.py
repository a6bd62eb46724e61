"""`lookalike encoders …`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli import evaluate
from lookalike.cli.options import JsonOption, StoreOption

if TYPE_CHECKING:
    from lookalike.encoders import EncoderManifest

app = typer.Typer(help="Encoders: they turn an image into a vector.", no_args_is_help=True)

BUILD_LOCK = "encoders/.build.lock"


@app.command("list")
def list_all(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the store's encoders."""
    from lookalike.cli.console import Console
    from lookalike.library import Library

    manifests = Library.open(store).encoders.list()
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
    from lookalike.library import Library

    _print(Library.open(store).encoders.add(folder), as_json)


@app.command("build")
def build(
    backbone: Annotated[
        str, typer.Argument(help="A preset, a TF-Hub handle, or a SavedModel folder.")
    ] = "efficientnet-lite0",
    calibrate: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Images like yours, to calibrate int8 on."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the encoder.  [default: the backbone's]")] = None,
    size: Annotated[
        int | None, typer.Option(min=8, help="Input size in pixels, if the backbone accepts any.")
    ] = None,
    require_int8: Annotated[bool, typer.Option(help="Fail if int8 differs too much from fp32.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export a backbone as an encoder and add it to the store."""
    import tempfile

    from lookalike.cli.console import Console
    from lookalike.default_encoder import CALIBRATION_PICTURES, read_pictures, spread
    from lookalike.library import Library
    from lookalike.sources.scan import Source
    from lookalike.training.child import build_encoder_in_child

    console = Console(as_json=as_json)
    encoders = Library.open(store).encoders
    calibration = None
    if calibrate is not None:
        source = Source.scan(calibrate)
        files = spread([source.folder / picture for picture in source.pictures], CALIBRATION_PICTURES)
        calibration = list(read_pictures(files))
    with tempfile.TemporaryDirectory(prefix="lookalike-encoder-") as scratch:
        folder = Path(scratch) / "encoder"
        build_encoder_in_child(
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


app.command("compare")(evaluate.compare)


def _print(manifest: EncoderManifest, as_json: bool) -> None:
    from lookalike.cli.console import Console

    console = Console(as_json=as_json)
    console.document(manifest.to_json())
    console.say(manifest.id)
