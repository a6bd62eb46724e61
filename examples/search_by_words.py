"""Search a collection by words: `python examples/search_by_words.py STORE COLLECTION WORDS`."""

import sys

import lookalike


def main(store: str, collection: str, text: str) -> None:
    """Print how the words were read, and the five best matches."""
    result = lookalike.open(store).collection(collection).search(text=text, k=5)
    for word in result.text.words if result.text else ():
        print(f"{word.word} → {word.read_as or 'no item has it'}")
    for match in result.matches:
        print(f"{match.item.id}\t{match.score:.3f}\t{match.item.category or ''}\t{match.item.title or ''}")


if __name__ == "__main__":
    main(*sys.argv[1:])
