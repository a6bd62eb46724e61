"""Create a collection and add images to it: `python examples/add.py STORE COLLECTION PATH [PATH …]`."""

import sys

import lookalike
from lookalike.errors import CollectionNotFound


def main(store: str, name: str, *paths: str) -> None:
    """Add files and folders; the first folder below a path is the category."""
    library = lookalike.open(store)
    try:
        collection = library.collection(name)
    except CollectionNotFound:
        collection = library.create_collection(name)
    report = collection.add(paths)
    print(f"{report.encoded} encoded, {report.unchanged} unchanged, {report.rejected} rejected")
    for failure in report.failed:
        print(f"{failure['key']}: {failure['reason']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
