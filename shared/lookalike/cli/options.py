"""Options that several commands share, spelled once."""

from __future__ import annotations

from typing import Annotated

import typer

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="LOOKALIKE_STORE",
        metavar="PATH_OR_S3_URL",
        help="A folder, or s3://bucket/prefix.  [default: lookalike-store]",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
CollectionOption = Annotated[
    str, typer.Option("--collection", "-c", metavar="NAME", help="Name of the collection.")
]
ForceOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
