"""Evaluate a collection's encoder on its own categories: `python examples/evaluate.py STORE COLLECTION`."""

import sys

import lookalike


def main(store: str, collection: str) -> None:
    """Print recall and precision, each with its 95 % interval."""
    report = lookalike.open(store).collection(collection).evaluate()
    print(report.split)
    for name, interval in report.encoders[0].metrics.items():
        print(f"{name}\t{interval.value:.3f}\t[{interval.low:.3f}, {interval.high:.3f}]")


if __name__ == "__main__":
    main(*sys.argv[1:])
