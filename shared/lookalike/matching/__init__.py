"""The same product found across sellers: which items of one list are which items of another."""

from lookalike.matching.known_pairs import KnownPairs, read_known_pairs
from lookalike.matching.listing import Listing, read_listing
from lookalike.matching.match_listings import MatchOptions, MatchReport, Pair, match
from lookalike.matching.write_pairs import check_suffix, write_pairs

__all__ = [
    "KnownPairs",
    "Listing",
    "MatchOptions",
    "MatchReport",
    "Pair",
    "check_suffix",
    "match",
    "read_known_pairs",
    "read_listing",
    "write_pairs",
]
