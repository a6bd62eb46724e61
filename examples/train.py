"""Train an encoder on a collection's categories: `python examples/train.py STORE COLLECTION [EPOCHS]`."""

import sys

import lookalike


def main(store: str, collection: str, epochs: str | None = None) -> None:
    """Train, compare with the encoder in use, and use the new one if it is better."""
    outcome = (
        lookalike.open(store)
        .collection(collection)
        .train(epochs=int(epochs) if epochs else None, progress=report)
    )
    print(f"{outcome.trained.manifest.id}: {outcome.reason}")


def report(step: str, done: int, total: int) -> None:
    """Show the progress on standard error."""
    sys.stderr.write(f"{step} {done}/{total}\n" if total else f"{step}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
