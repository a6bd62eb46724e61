"""Metadata files (CSV, JSONL, Parquet) → typed rows, with every problem reported by its row number."""

from lookalike.metadata.read import MAX_METADATA_BYTES, SUFFIXES, is_metadata, read_metadata
from lookalike.metadata.table import MetadataRow, MetadataTable, RowProblem

__all__ = [
    "MAX_METADATA_BYTES",
    "SUFFIXES",
    "MetadataRow",
    "MetadataTable",
    "RowProblem",
    "is_metadata",
    "read_metadata",
]
