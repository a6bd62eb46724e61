"""Delete items of a collection: `python examples/remove.py STORE COLLECTION ID [ID …]`."""

import sys

import lookalike


def main(store: str, collection: str, *ids: str) -> None:
    """Delete items by id; if one of them does not exist, none is deleted."""
    removed = lookalike.open(store).collection(collection).remove(ids)
    print(f"{removed} deleted")


if __name__ == "__main__":
    main(*sys.argv[1:])
