"""Search a collection by image: `python examples/search.py STORE COLLECTION IMAGE`."""

import sys

import lookalike


def main(store: str, collection: str, image: str) -> None:
    """Print the five items most similar to an image."""
    result = lookalike.open(store).collection(collection).search(image, k=5)
    for match in result.matches:
        confidence = "" if match.confidence is None else f"{match.confidence:.0%}"
        print(f"{match.item.id}\t{match.score:.3f}\t{confidence}\t{match.item.category or ''}")


if __name__ == "__main__":
    main(*sys.argv[1:])
