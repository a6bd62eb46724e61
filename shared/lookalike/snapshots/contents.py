"""One pass over the catalogue, for all that goes into a snapshot."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from lookalike.catalogue import Catalogue, CatalogueVersion
from lookalike.confidence import HELD_OUT_SPLITS
from lookalike.errors import Incompatible
from lookalike.snapshots.columns import ColumnsWriter
from lookalike.types import Item, Vector, Vectors


class Contents:
    """Reads one version of a catalogue once, for the index, the columns, the labels and the probes alike.

    Attributes:
        columns: of the items read so far.
        labels: their categories, in the order of rows.
        held_out: whether each stands for queries to come: its attribute `split` says so, or its id is one of
            those that the encoder's training held out.
        probes: some ids with their vectors, by which the finished snapshot can be checked.
    """

    def __init__(
        self, catalogue: Catalogue, version: CatalogueVersion, held_out: Collection[str] = ()
    ) -> None:
        self._catalogue = catalogue
        self._version = version
        self._last_id = ""
        self.columns = ColumnsWriter()
        self.labels: list[str | None] = []
        self._held_out_ids = held_out
        self.held_out: list[bool] = []
        self.probes: list[tuple[str, Vector]] = []

    def batches(self) -> Iterator[Vectors]:
        """The vectors, batch by batch, shape (any, d) float32; all the rest is kept on the way.

        Raises:
            Incompatible: the items do not come in the order of their ids.
            StoreUnavailable: the version is not kept any more, or the store does not answer.
        """
        for batch in self._catalogue.scan(self._version):
            for item in batch.items:
                # Readers look ids up by bisection.
                if item.id <= self._last_id:
                    raise Incompatible(
                        "the catalogue's rows are not in the order of their ids",
                        got=repr(item.id),
                        expected=f"more than {self._last_id!r}",
                    )
                self._last_id = item.id
            if batch.items:
                self.columns.add(batch.items)
                self.labels += [item.category for item in batch.items]
                self.held_out += [self._is_held_out(item) for item in batch.items]
                ends = sorted({0, len(batch.items) - 1})
                self.probes += [(batch.items[row].id, batch.vectors[row].copy()) for row in ends]
                yield batch.vectors

    def _is_held_out(self, item: Item) -> bool:
        marked = str(item.attributes.get("split", "")).lower() in HELD_OUT_SPLITS
        return marked or item.id in self._held_out_ids
