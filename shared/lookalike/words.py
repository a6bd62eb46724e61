"""Text of products in the forms in which it is compared: plain text, words, codes, numbers, prices."""

from __future__ import annotations

import html
import re
import unicodedata

MAX_CHARACTERS = 5_000
"""Of a title or a description; what follows decides no match."""
_TAG = re.compile(r"<[^<>]{0,500}>")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\w+(?:[.\-/]\w+)*")
_JOINT = re.compile(r"[.\-/]")
_CODE = re.compile(r"[a-z0-9]+(?:[.\-/][a-z0-9]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_PRICE = re.compile(r"\d[\d.,'\u00a0\u202f ]*")
_SHORTEST_CODE = 4
_SHORTEST_DIGITS = 5


def plain_text(text: str) -> str:
    """Without HTML tags and entities, in NFKC, with single spaces; the first 5,000 characters."""
    shown = html.unescape(_TAG.sub(" ", text[: 2 * MAX_CHARACTERS]))
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", shown)).strip()[:MAX_CHARACTERS]


def folded(text: str) -> str:
    """In the form in which letters are compared."""
    return text.casefold()


def words(text: str) -> list[str]:
    """Words in order. One with a dot, hyphen or slash inside also gives its parts."""
    found: list[str] = []
    for word in _WORD.findall(folded(text)):
        found.append(word)
        parts = _JOINT.split(word)
        if len(parts) > 1:
            found += [part for part in parts if part]
    return found


def codes(text: str) -> frozenset[str]:
    """Model numbers and article codes: at least four letters and digits mixed, or five digits."""
    found = set()
    for word in _CODE.findall(folded(text)):
        joined = _JOINT.sub("", word)
        digits = any(letter.isdigit() for letter in joined)
        letters = any(letter.isalpha() for letter in joined)
        if digits and len(joined) >= (_SHORTEST_CODE if letters else _SHORTEST_DIGITS):
            found.add(joined)
    return frozenset(found)


def numbers(text: str) -> frozenset[str]:
    """Numbers as written, with a point for the decimals."""
    return frozenset(number.replace(",", ".") for number in _NUMBER.findall(text))


def price_of(text: str) -> float | None:
    """The first number of a price, with thousands separators and decimal commas; None: there is none.

    The last of `.` and `,` separates the decimals: 1.234,50 and 1,234.50 are the same. With exactly three
    digits behind it, it separates thousands: 1.234 is one thousand two hundred and thirty-four, 0.234 is not.
    """
    found = _PRICE.search(unicodedata.normalize("NFKC", text))
    if not found:
        return None
    written = re.sub(r"[\s']", "", found[0]).strip(".,")
    cut = max(written.rfind("."), written.rfind(","))
    whole, decimals = (written[:cut], written[cut + 1 :]) if cut >= 0 else (written, "")
    if len(decimals) == 3 and whole.lstrip("0"):
        whole, decimals = whole + decimals, ""
    return float(re.sub(r"[.,]", "", whole) + "." + (decimals or "0"))
