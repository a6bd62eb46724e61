"""Duplicates: groups of pictures that are the same picture, whatever was done to the file."""

from lookalike.duplicates.find import MIN_SCORE, DuplicateGroup, DuplicateMember, Reason, find_duplicates
from lookalike.images.copies import MAX_DISTANCE

__all__ = ["MAX_DISTANCE", "MIN_SCORE", "DuplicateGroup", "DuplicateMember", "Reason", "find_duplicates"]
