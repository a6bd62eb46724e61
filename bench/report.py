"""A report with every plot, as HTML and as PNG files: `python -m bench.report`.

By default the frozen default encoder (built now) on the clothing photos of LOOKALIKE_DATA. `--encoder FOLDER`
names an encoder, such as a trained one, and may be repeated; the others are compared with the first.
`--store demo-store --collection things` uses a collection instead, with the encoders of its store.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from PIL import Image

from lookalike.cli.console import Console
from lookalike.errors import LookalikeError
from lookalike.evaluation import evaluate
from lookalike.evaluation.compare_encoders import (
    LabelledImage,
    choose_split,
    encode,
    from_collection,
    spread,
    thumbnails,
)
from lookalike.evaluation.html import write_html
from lookalike.evaluation.plots import figures
from lookalike.library import Library
from lookalike.training.child import build_encoder_in_child
from lookalike.training.sources.read_source import read_source

DATA = Path(os.environ.get("LOOKALIKE_DATA", "../shared/data"))
DOTS_PER_INCH = 120
COLUMN = 800


def add_encoders(library: Library, folders: list[Path], console: Console) -> list[str]:
    """Ids of the encoders in `folders`; without any, the frozen default one is built."""
    if folders:
        return [library.encoders.add(folder).id for folder in folders]
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / "encoder"
        build_encoder_in_child("efficientnet-lite0", built, progress=console.note)
        return [library.encoders.add(built).id]


def draw(library: Library, options: argparse.Namespace, scratch: Path, console: Console) -> None:
    """Evaluate, and write everything into the folder `options.out`."""
    if options.collection:
        pictures = from_collection(library, options.collection, options.sample)
        ids = [manifest.id for manifest in library.encoders.list()]
    else:
        examples = spread(read_source(options.source, scratch).examples, options.sample)
        pictures = [LabelledImage(e.id, e.path.read_bytes, e.label, e.split) for e in examples]
        ids = add_encoders(library, options.encoder, console)
    with console.progress("encoding", len(pictures)) as advance:
        encoded = encode(library.encoders, ids, pictures, None, advance)
    manifests = [library.encoders.get(known) for known in ids]
    report = evaluate(
        encoded.candidates,
        [picture.id for picture in encoded.images],
        [picture.label for picture in encoded.images],
        choose_split(encoded.images, encoded.hashes, manifests),
        title=f"Retrieval quality: {options.collection or options.source.name}",
        layout=True,
        progress=console.note,
    )
    write_html(report, options.out / "report.html", thumbnails(encoded.images))
    files = []
    for name, figure in figures(report):
        files.append(options.out / f"{name}.png")
        figure.savefig(files[-1], dpi=DOTS_PER_INCH)
        print(files[-1])
    print(sheet(files, options.out / "plots.webp"))
    print(options.out / "report.html")


def sheet(files: list[Path], target: Path) -> Path:
    """All plots in one image, in two columns: what docs/evaluation.md shows."""
    plots = [Image.open(file).convert("RGB") for file in files]
    cells = [plot.resize((COLUMN, round(plot.height * COLUMN / plot.width))) for plot in plots]
    rows = [cells[start : start + 2] for start in range(0, len(cells), 2)]
    heights = [max(cell.height for cell in row) for row in rows]
    page = Image.new("RGB", (2 * COLUMN, sum(heights)), "white")
    for number, row in enumerate(rows):
        for column, cell in enumerate(row):
            page.paste(cell, (column * COLUMN, sum(heights[:number])))
    page.save(target, quality=80, method=6)  # a palette would make two categories one colour
    return target


def main(argv: list[str] | None = None) -> int:
    """Read the options; draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=DATA / "clothing", help="labelled images")
    parser.add_argument("--encoder", type=Path, action="append", default=[], help="folder of an encoder")
    parser.add_argument("--store", help="use a collection of this store instead")
    parser.add_argument("--collection", help="its name")
    parser.add_argument("--sample", type=int, help="maximum number of images")
    parser.add_argument("--out", type=Path, default=Path("bench/out/report"), help="folder to write to")
    options = parser.parse_args(argv)
    if not options.collection and not options.source.is_dir():
        print(f"no photos at {options.source}: set LOOKALIKE_DATA, or pass --source or --collection")
        return 1
    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        library = Library.open(options.store or str(Path(scratch) / "store"))
        try:
            draw(library, options, Path(scratch), console)
        except LookalikeError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
