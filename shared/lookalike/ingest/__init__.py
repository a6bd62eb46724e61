"""Ingest: object events → catalogue. Nothing lost, nothing twice, any order."""

from lookalike.ingest.ingestor import Ingestor
from lookalike.ingest.keys import item_key, metadata_key
from lookalike.ingest.report import IngestReport

__all__ = ["IngestReport", "Ingestor", "item_key", "metadata_key"]
