"""`snapshot.json`: the description of a snapshot, with which a reader checks compatibility."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from lookalike.catalogue import CatalogueVersion
from lookalike.collection_config import CollectionConfig
from lookalike.confidence import ConfidenceModel
from lookalike.errors import Incompatible
from lookalike.indexes import IndexSpec
from lookalike.integrity import convert, field_names, reading, seal, unseal
from lookalike.search_space import SpaceInfo
from lookalike.snapshots.pointer import REBUILD
from lookalike.text_search.text_index import TextInfo
from lookalike.types import ENGINES, METRICS, Engine, Metric

FORMAT = 1
OUTDATED = (
    "the index was built by an earlier version; the next one has confidence: `lookalike snapshot build`"
)
"""Why matches of a snapshot without a model of this version have no confidence."""
MANIFEST_FILE = "snapshot.json"
COLUMNS_FILE = "items.arrow"


@dataclass(frozen=True, slots=True)
class LabelStatistics:
    """Label statistics: `labelled` items in `classes` categories, `largest` in the largest one."""

    labelled: int = 0
    classes: int = 0
    largest: int = 0

    @classmethod
    def of(cls, labels: Sequence[str | None]) -> LabelStatistics:
        """Count labels. None is unlabelled."""
        counts = Counter(label for label in labels if label is not None)
        return cls(counts.total(), len(counts), max(counts.values(), default=0))


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The collection's engine options. If any changes, the collection needs a new snapshot."""

    engine: Engine = "annoy"
    n_trees: int | None = None
    search_k: int | None = None
    recall_target: float = 0.95
    dimensions: int | None = None

    @classmethod
    def of(cls, config: CollectionConfig) -> BuildOptions:
        """The options of a collection."""
        return cls(config.engine, config.n_trees, config.search_k, config.recall_target, config.dimensions)

    def to_json(self) -> dict[str, Any]:
        """As stored; without `dimensions` if it is None, because versions before do not know it."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("dimensions", None)}


@dataclass(frozen=True, slots=True)
class SnapshotManifest:
    """One immutable index.

    Attributes:
        id: `<UTC time>-<8 hex digits>`; sorts by the time at which the catalogue was read.
        collection: whose items it holds.
        encoder_id: the encoder of every vector in it.
        dimension: of the vectors in its index. Versions before refuse a snapshot whose encoder has another.
        metric: how they are compared.
        catalogue: the versions of the tables that it was built from.
        fingerprint: of the catalogue at that time; equal fingerprints mean an empty delta.
        count: items.
        options: the collection's engine options.
        index: description of the index files.
        labels: label statistics.
        confidence: how probable a match is of the query's category; None: not known.
        confidence_reason: why it is not known.
        columns: column of `items.arrow` → Arrow type.
        created_at: ISO 8601, UTC.
        space: how the encoder's vectors become those of the index; None: they are those.
        places: the file with the items' map positions; None in older snapshots.
        text: the words of its items; None: no item has any, or the snapshot is older.
        text_confidence: how probable a match of words is of the query's category; None: not known.
        text_confidence_reason: why it is not known.
        hashes: file → SHA-256, for each of `files` and `side_files`; empty in older snapshots.
        format: version of this layout.
    """

    id: str
    collection: str
    encoder_id: str
    dimension: int
    metric: Metric
    catalogue: CatalogueVersion
    fingerprint: str
    count: int
    options: BuildOptions
    index: IndexSpec
    labels: LabelStatistics
    confidence: ConfidenceModel | None
    confidence_reason: str | None
    created_at: str
    columns: Mapping[str, str] = field(default_factory=dict)
    space: SpaceInfo | None = None
    places: str | None = None
    text: TextInfo | None = None
    text_confidence: ConfidenceModel | None = None
    text_confidence_reason: str | None = OUTDATED
    hashes: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def files(self) -> tuple[str, ...]:
        """Files next to `snapshot.json` that a reader needs."""
        return (COLUMNS_FILE, *self.index.files, *([self.space.file] if self.space else []))

    @property
    def encoder_dimension(self) -> int:
        """Of the encoder's vectors."""
        return self.space.encoder_dimension if self.space else self.dimension

    @property
    def side_files(self) -> tuple[str, ...]:
        """Further files that searches do not need; read on demand."""
        return (*([self.places] if self.places else []), *(self.text.files if self.text else ()))

    def dump(self) -> bytes:
        """As it is stored."""
        return seal(
            {
                "format": self.format,
                "id": self.id,
                "collection": self.collection,
                "created_at": self.created_at,
                "encoder_id": self.encoder_id,
                "dimension": self.dimension,
                "metric": self.metric,
                "count": self.count,
                "catalogue": self.catalogue.to_json(),
                "fingerprint": self.fingerprint,
                "options": self.options.to_json(),
                "index": self.index.to_json(),
                "labels": asdict(self.labels),
                "calibration": None,  # versions before 0.3 read it; they rejected another format
                "confidence": self.confidence and self.confidence.to_json(),
                "confidence_reason": self.confidence_reason,
                "columns": dict(self.columns),
                "space": self.space and asdict(self.space),
                "places": self.places,
                "text": self.text and asdict(self.text),
                "text_confidence": self.text_confidence and self.text_confidence.to_json(),
                "text_confidence_reason": self.text_confidence_reason,
                "hashes": dict(self.hashes),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> SnapshotManifest:
        """Inverse of `dump`.

        Raises:
            Damaged: the file was changed after it was written.
            Incompatible: this version cannot read the snapshot; the message names both versions.
        """
        found = unseal(
            data, MANIFEST_FILE, format=FORMAT, known=field_names(cls) | {"calibration"}, fix=REBUILD
        )
        with reading(MANIFEST_FILE, REBUILD, expected=f"the fields of format {FORMAT}"):
            _check_supported(found)
            return cls(
                id=found["id"],
                collection=found["collection"],
                encoder_id=found["encoder_id"],
                dimension=int(found["dimension"]),
                metric=found["metric"],
                catalogue=CatalogueVersion.from_json(found["catalogue"]),
                fingerprint=found["fingerprint"],
                count=int(found["count"]),
                options=convert(BuildOptions, found["options"]),
                index=IndexSpec.from_json(found["index"]),
                labels=convert(LabelStatistics, found["labels"]),
                confidence=_model(found.get("confidence")),
                confidence_reason=found["confidence_reason"] if "confidence" in found else OUTDATED,
                created_at=found["created_at"],
                columns=found["columns"],
                space=found.get("space") and convert(SpaceInfo, found["space"]),
                places=found.get("places"),
                text=found.get("text") and convert(TextInfo, found["text"]),
                text_confidence=_model(found.get("text_confidence")),
                text_confidence_reason=found.get("text_confidence_reason", OUTDATED),
                hashes=found.get("hashes", {}),
            )._checked()

    def _checked(self) -> SnapshotManifest:
        """Reject a manifest whose parts contradict each other. Raises Incompatible, ValueError."""
        for name in ("id", "collection", "encoder_id", "fingerprint"):
            convert(str, getattr(self, name), name)
        convert(str | None, self.places, "places")
        convert(Mapping[str, str], self.hashes, "hashes")
        convert(Mapping[str, str], self.columns, "columns")
        datetime.fromisoformat(self.created_at)
        for name, own in (("metric", self.metric), ("dimension", self.dimension), ("size", self.count)):
            its = getattr(self.index, name)
            if its != own:
                raise Incompatible(
                    f"snapshot {self.id} and its index disagree on {name}",
                    got=f"{its} in the index",
                    expected=f"{own} in the snapshot",
                )
        return self


def _model(found: Any) -> ConfidenceModel | None:
    return ConfidenceModel.from_json(found) if found else None


def _check_supported(found: dict[str, Any]) -> None:
    """Reject what this version cannot read, before parsing the rest."""
    _expect(found, "metric", found["metric"], METRICS)
    _expect(found, "engine", found["index"]["engine"], ENGINES)


def _expect(found: dict[str, Any], name: str, got: object, served: tuple[object, ...]) -> None:
    if got not in served:
        raise Incompatible(
            f"this version cannot read the {name} of snapshot {found.get('id')}",
            got=f"{got!r} in the snapshot",
            expected=f"{' | '.join(map(str, served))} in this version",
            fix="Update lookalike, or build a new snapshot with this version.",
        )
