"""Query in, matches out: `Searcher(artifacts, collection, settings, encoders, cache).search(query)`."""

from lookalike.search.query import Query, QueryPart, SearcherStatus, SearchResult
from lookalike.search.searcher import Searcher

__all__ = ["Query", "QueryPart", "SearchResult", "Searcher", "SearcherStatus"]
