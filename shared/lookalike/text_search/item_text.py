"""The words that describe an item: its title, its category, and what its other fields say."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from lookalike.types import Item
from lookalike.words import plain_text, words

FURTHER_WEIGHT = 0.5
"""Of a word of another field, in occurrences in the title."""
SHORT_WORDS = 5
"""A field of at most so many words names a property; longer ones are prose."""
MOST_WORDS = 400
"""Of all further fields."""
IGNORED = frozenset({"split", "file", "filename", "path", "url", "image", "image_url"})
_NAME = re.compile(r"\b[^\W\d_]{3,}\b|[\u3040-\u9fff]")
"""A word of three letters, or a Chinese or Japanese sign."""
_ADDRESS = re.compile(r"://|/.*\.\w{2,5}$|\.(jpe?g|png|webp|gif|avif|tiff?)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ItemText:
    """Words of one item.

    Attributes:
        title: its title; if it has none, its prose, else its short fields.
        short: title, category and short fields: what an image can show.
        further: prose and codes.
    """

    title: str
    short: str
    further: str

    @classmethod
    def of(cls, item: Item) -> ItemText:
        """Those of an item; all empty if nothing describes it."""
        title = plain_text(item.title or "")
        values = [item.category or "", *_values(item)]
        names = [value for value in values if _is_name(value)]
        prose = [value for value in values if len(value.split()) > SHORT_WORDS]
        codes = [value for value in (*values, item.product_id or "") if value not in (*names, *prose)]
        named = " ".join(dict.fromkeys(names))
        if not title:
            title, prose = " ".join(prose), []
        return cls(title or named, f"{title} {named}".strip(), " ".join([*prose, *codes]).strip())

    def terms(self) -> Counter[str]:
        """Its words for the inverted index, with their weights."""
        found: Counter[str] = Counter()
        in_title = Counter(words(self.title)[:MOST_WORDS])
        for word, count in in_title.items():
            found[word] += count
        others = [*words(self.short)[len(words(self.title)) :], *words(self.further)][:MOST_WORDS]
        for word, count in Counter(others).items():
            found[word] += FURTHER_WEIGHT * count  # type: ignore[assignment]
        return found


def _is_name(value: str) -> bool:
    """Whether a value names what an image may show: a few words, and no code."""
    return 0 < len(value.split()) <= SHORT_WORDS and _NAME.search(value) is not None


def _values(item: Item) -> list[str]:
    """Texts of the other fields that are no addresses."""
    texts = [
        plain_text(value)
        for name, value in sorted(item.attributes.items())
        if isinstance(value, str) and name.lower() not in IGNORED
    ]
    return [text for text in texts if any(map(str.isalpha, text)) and not _ADDRESS.search(text)]
