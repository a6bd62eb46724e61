"""Metadata files (CSV, JSONL, Parquet) → typed rows. Every problem is reported with its row number."""

from lookalike.layout import is_metadata
from lookalike.metadata.columns import column_name
from lookalike.metadata.read import MAX_METADATA_BYTES, SUFFIXES, read_metadata, read_records
from lookalike.metadata.readers import Record
from lookalike.metadata.table import MetadataRow, MetadataTable, RowProblem

__all__ = [
    "MAX_METADATA_BYTES",
    "SUFFIXES",
    "MetadataRow",
    "MetadataTable",
    "Record",
    "RowProblem",
    "column_name",
    "is_metadata",
    "read_metadata",
    "read_records",
]
