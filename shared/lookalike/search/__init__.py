"""Query in, matches out: `Searcher(artifacts, collection, settings, encoders, cache).search(query)`."""

from lookalike.search.query import Query, QueryPart, SearcherStatus, SearchResult

__all__ = ["Query", "QueryPart", "SearchResult", "SearcherStatus"]
