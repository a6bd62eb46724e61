"""First content of a deployment: `python -m infra.seed` adds the default encoder, and collections.

It is safe to run again: existing content is not changed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.config import CollectionSpec, Config
from infra.context import read_context
from infra.deployed import Deployed, hand_on_credentials
from lookalike.default_encoder import default_encoder
from lookalike.errors import Conflict, LookalikeError
from lookalike.library import Library
from lookalike.settings import Settings

DEFAULT = "default"

Say = Callable[[str], None]


def seed(settings: Settings, collections: dict[str, CollectionSpec], say: Say) -> None:
    """Add missing content.

    Args:
        settings: of the deployment's buckets.
        collections: by name.
        say: called with each step.

    Raises:
        EncoderNotFound: a collection names an encoder that is not in the store.
    """
    with tempfile.TemporaryDirectory(prefix="lookalike-seed-") as cache:
        library = Library(settings, Path(cache))
        built = default_encoder(library, progress=say)
        say(f"encoder {built.id}")
        for name, spec in collections.items():
            encoder_id = built.id if spec.encoder == DEFAULT else library.encoders.get(spec.encoder).id
            try:
                library.create_collection(name, encoder=encoder_id, metric=spec.metric)
            except Conflict:
                say(f"collection {name} exists already and is unchanged")
            else:
                say(f"collection {name} uses {encoder_id}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Seed the deployment that the context describes; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.seed", description=__doc__)
    parser.add_argument("-c", "--context", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(arguments)
    try:
        config = Config.from_context(read_context(os.environ, given.context))
        deployed = Deployed.find(config)
        hand_on_credentials()
        seed(deployed.settings(), config.collections, _say)
    except LookalikeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    _say("The `lookalike` command works on this deployment with:")
    sys.stdout.write(deployed.exports())
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
