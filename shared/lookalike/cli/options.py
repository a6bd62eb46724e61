"""Options and prompts that several commands share."""

from __future__ import annotations

import sys
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
OneOrAllOption = Annotated[
    str | None, typer.Option("--collection", "-c", metavar="NAME", help="One collection.  [default: all]")
]
ForceOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def answer(question: str) -> str:
    """Ask on standard error, because standard output may have to be one JSON document."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def agreed(question: str) -> bool:
    """Whether the user answers yes."""
    return answer(question).lower() in {"y", "yes"}
