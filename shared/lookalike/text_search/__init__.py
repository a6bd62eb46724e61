"""Text search: words, spelling, and the bridge from words to images."""

from lookalike.text_search.fusion import TextMode
from lookalike.text_search.text_index import QueryWord, TextReading

__all__ = ["QueryWord", "TextMode", "TextReading"]
