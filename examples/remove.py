"""Move items of a collection to the trash: `python examples/remove.py STORE COLLECTION ID [ID …]`."""

import sys

import lookalike


def main(store: str, collection: str, *ids: str) -> None:
    """Move items to the trash by id; if one of them does not exist, none is moved."""
    removed = lookalike.open(store).collection(collection).remove(ids)
    print(f"{removed} deleted")


if __name__ == "__main__":
    main(*sys.argv[1:])
