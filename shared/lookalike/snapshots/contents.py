"""Read the content of a snapshot in one pass over the catalogue."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from lookalike.catalogue import Catalogue, CatalogueVersion
from lookalike.confidence import HELD_OUT_SPLITS
from lookalike.errors import Incompatible
from lookalike.snapshots.item_columns import ColumnsWriter
from lookalike.text_search.item_text import ItemText
from lookalike.types import Item, Vector, Vectors


class Contents:
    """Reads one version of a catalogue once, for the index, columns, labels and probes.

    Attributes:
        columns: of the items read so far.
        labels: their categories, in row order.
        texts: their words, in row order.
        held_out: whether each is held out, by its attribute `split` or by the encoder's training.
        probes: some ids with their vectors, to verify the finished snapshot.
    """

    def __init__(
        self, catalogue: Catalogue, version: CatalogueVersion, held_out: Collection[str] = ()
    ) -> None:
        self._catalogue = catalogue
        self._version = version
        self._last_id = ""
        self.columns = ColumnsWriter()
        self.labels: list[str | None] = []
        self.texts: list[ItemText] = []
        self._held_out_ids = held_out
        self.held_out: list[bool] = []
        self.probes: list[tuple[str, Vector]] = []

    def batches(self) -> Iterator[Vectors]:
        """The vectors in batches of shape (any, d), float32. Collects everything else on the way.

        Raises:
            Incompatible: the items are not ordered by id.
            StoreUnavailable: the version was removed, or the store is not available.
        """
        for batch in self._catalogue.scan(self._version):
            for item in batch.items:
                # Readers find ids by bisection.
                if item.id <= self._last_id:
                    raise Incompatible(
                        "the catalogue's rows are not ordered by id",
                        got=repr(item.id),
                        expected=f"more than {self._last_id!r}",
                    )
                self._last_id = item.id
            if batch.items:
                self.columns.add(batch.items)
                self.labels += [item.category for item in batch.items]
                self.texts += [ItemText.of(item) for item in batch.items]
                self.held_out += [self._is_held_out(item) for item in batch.items]
                ends = sorted({0, len(batch.items) - 1})
                self.probes += [(batch.items[row].id, batch.vectors[row].copy()) for row in ends]
                yield batch.vectors

    def _is_held_out(self, item: Item) -> bool:
        marked = str(item.attributes.get("split", "")).lower() in HELD_OUT_SPLITS
        return marked or item.id in self._held_out_ids
