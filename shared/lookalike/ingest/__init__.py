"""Ingest: object events → catalogue. Events may arrive twice, late and in any order."""

from lookalike.ingest.ingestor import Ingestor
from lookalike.ingest.report import IngestReport

__all__ = ["IngestReport", "Ingestor"]
