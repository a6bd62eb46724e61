"""Find the best rows of a view for words, or for a mix of words and images.

Every row gets a score, because words can fit anywhere; that is one product with a matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lookalike.errors import InvalidInput
from lookalike.search.find_nearest import Found, Request, passing, ranked
from lookalike.search.query import Query
from lookalike.search.query_vector import unit_or_raise
from lookalike.search.view import Distances, Mask, View
from lookalike.search.view_text import ViewText
from lookalike.text_search.text_index import QueryWord, TextReading
from lookalike.types import Metric, Vector

PartVector = Callable[[int], Vector]
"""The number of a query's part → its vector as the view compares it."""


@dataclass(frozen=True, slots=True)
class ByText:
    """Finds what fits the words of a query.

    Attributes:
        view: that is searched.
        distances: of every row, (size,) float32: 1 − score.
        fitting: rows that have anything of the query, (size,) bool.
        reading: how its words were understood.
    """

    view: View
    distances: Distances
    fitting: Mask
    reading: TextReading

    @property
    def metric(self) -> Metric:
        """In which a score is 1 − distance."""
        return "cosine"

    def find(self, request: Request) -> Found:
        """The best allowed rows that fit."""
        rows = np.flatnonzero(request.allowed & self.fitting)
        distances = self.distances[rows]
        if request.groups is None and request.needed < len(rows):
            last = np.partition(distances, request.needed - 1)[request.needed - 1]
            rows, distances = rows[distances <= last], distances[distances <= last]
        found = ranked(self.view, rows, distances, request.groups)
        count = min(request.needed, passing(found.distances, request.passes))
        return Found(found.rows[:count], found.distances[:count])


def by_text(query: Query, view: View, text: ViewText, vector_of: PartVector) -> ByText:
    """What a query with words looks for.

    Positive words alone are compared with the items' words and with their images ("auto"), or with one of
    them. With other parts, all are summed by weight in the bridge's space, each of unit length.

    Raises:
        InvalidInput: it needs the bridge, and there is none; or its parts cancel out.
    """
    words_of = {
        number: text.read(str(part.value)) for number, part in enumerate(query.parts) if part.kind == "text"
    }
    every = tuple({word.word: word for words in words_of.values() for word in words}.values())
    only_words = len(words_of) == len(query.parts) and all(part.weight > 0 for part in query.parts)
    if only_words and query.mode == "words":
        return _by_words(view, text, every, None, TextReading(every, "words", None))
    target = _target(query, text, words_of, vector_of)
    if target is None:
        if not only_words or query.mode == "meaning":
            raise InvalidInput(
                "this collection cannot be searched by the meaning of words",
                got=text.bridge_reason,
                fix="Search by words alone, or give the items titles and build a snapshot.",
            )
        return _by_words(view, text, every, None, TextReading(every, "words", text.bridge_reason))
    meaning = text.meaning(target)
    if only_words and query.mode == "auto":
        return _by_words(view, text, every, meaning, TextReading(every, "words and meaning", None))
    wanted = tuple(
        word for number, words in words_of.items() if query.parts[number].weight > 0 for word in words
    )
    scores = text.mixed(wanted, meaning) if wanted and query.mode == "auto" else meaning
    everything = np.ones(view.size, bool)
    return ByText(view, (1 - scores).astype(np.float32), everything, TextReading(every, "meaning", None))


def _by_words(
    view: View, text: ViewText, words: tuple[QueryWord, ...], meaning: Distances | None, reading: TextReading
) -> ByText:
    scores = text.scores(words, meaning)
    return ByText(view, (1 - scores).astype(np.float32), scores > 0, reading)


def _target(
    query: Query, text: ViewText, words_of: dict[int, tuple[QueryWord, ...]], vector_of: PartVector
) -> Vector | None:
    """The sum of a query's parts in the bridge's space; None: there is no bridge."""
    total = None
    for number, part in enumerate(query.parts):
        if number in words_of:
            one = text.target(str(part.value), words_of[number])
        else:
            shown = text.images(vector_of(number)[None])
            one = None if shown is None else shown[0]
        if one is None:
            return None
        total = part.weight * one if total is None else total + part.weight * one
    assert total is not None
    return unit_or_raise(total)
