"""The catalogue: the tables of record of one collection, and the order of events of one object."""

from lookalike.catalogue.catalogue import Catalogue
from lookalike.catalogue.rows import (
    CatalogueBatch,
    CatalogueStats,
    CatalogueVersion,
    Delta,
    ItemRow,
    MetadataFile,
    MetadataProblem,
    MetadataVersion,
)
from lookalike.catalogue.sequencer import normalise_sequencer, sequencer_after

__all__ = [
    "Catalogue",
    "CatalogueBatch",
    "CatalogueStats",
    "CatalogueVersion",
    "Delta",
    "ItemRow",
    "MetadataFile",
    "MetadataProblem",
    "MetadataVersion",
    "normalise_sequencer",
    "sequencer_after",
]
