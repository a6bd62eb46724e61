"""Collection configurations: one JSON file each, `collections/<name>/collection.json` in the artifacts store.

The file names the collection's encoder, metric and engine. It changes by compare-and-swap, so that
processes never overwrite each other's changes.
"""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lookalike.change_token import mark_changed
from lookalike.errors import CollectionNotFound, Conflict, Incompatible, InvalidInput, ObjectNotFound
from lookalike.integrity import convert, field_names, reading, seal, unseal
from lookalike.layout import check_collection_name, is_collection_name
from lookalike.storage import Blob, Store
from lookalike.types import ENGINES, METRICS, Engine, Metric

FORMAT = 1
FOLDER = "collections"
UPDATE_ATTEMPTS = 20
DAMAGE_FIX = "Restore it from a backup, or delete the collection."


@dataclass(frozen=True, slots=True)
class CollectionConfig:
    """The configuration of a collection.

    Attributes:
        name: `[a-z0-9][a-z0-9-]{0,62}`; it becomes part of paths, URLs and names in AWS.
        encoder_id: the encoder whose vectors are searched.
        metric: how vectors are compared.
        engine: how a snapshot searches.
        n_trees: Annoy's number of trees; None: chosen by measurement.
        search_k: nodes that Annoy inspects per query; None: chosen by measurement.
        recall_target: share of the exact top 10 that a search must find, in (0, 1].
        dimensions: numbers per item in the index (see `search_space`); None: chosen by measurement, 256 at
            most; 0: all that the encoder makes.
        format: version of this file's layout.
        created_at: ISO 8601, UTC; set by `Collections.create`.

    Raises:
        InvalidInput: a value cannot be used.
    """

    name: str
    encoder_id: str
    metric: Metric = "cosine"
    engine: Engine = "annoy"
    n_trees: int | None = None
    search_k: int | None = None
    recall_target: float = 0.95
    dimensions: int | None = None
    format: int = FORMAT
    created_at: str = ""

    def __post_init__(self) -> None:
        check_collection_name(self.name)
        if not self.encoder_id:
            raise InvalidInput("the collection has no encoder", fix="List them: `lookalike encoders list`.")
        if self.metric not in METRICS:
            raise InvalidInput("unknown metric", got=repr(self.metric), expected=" | ".join(METRICS))
        if self.engine not in ENGINES:
            raise InvalidInput("unknown engine", got=repr(self.engine), expected=" | ".join(ENGINES))
        if not 0 < self.recall_target <= 1:
            raise InvalidInput(
                "recall_target is out of range", got=self.recall_target, expected="more than 0, at most 1"
            )
        if self.dimensions is not None and self.dimensions < 0:
            raise InvalidInput(
                "dimensions is out of range", got=self.dimensions, expected="0 or more, or nothing"
            )
        for option in ("n_trees", "search_k"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise InvalidInput(f"{option} is out of range", got=value, expected="1 or more, or nothing")

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        stored = dataclasses.asdict(self)
        if self.dimensions is None:  # functions of the version before do not know it, and need not
            del stored["dimensions"]
        return stored

    def dump(self) -> bytes:
        """The bytes of `collection.json`."""
        return seal(self.to_json())

    @classmethod
    def parse(cls, data: bytes, name: str) -> CollectionConfig:
        """Inverse of `dump`, for the collection `name`.

        Raises:
            Damaged: the file was changed after it was written.
            Incompatible: a newer version of lookalike wrote it.
        """
        file = f"the file {_path(name)}"
        found = unseal(data, file, format=FORMAT, known=field_names(cls), fix=DAMAGE_FIX)
        with reading(file, DAMAGE_FIX):
            config: CollectionConfig = convert(cls, found)
            if config.name != name:
                raise ValueError(f"the name {config.name!r}")
            if config.created_at:
                datetime.fromisoformat(config.created_at)
            return config


class Collections:
    """The collections of one artifacts store."""

    def __init__(self, artifacts: Store) -> None:
        self._artifacts = artifacts

    def create(self, config: CollectionConfig) -> None:
        """Register a collection.

        Raises:
            Conflict: a collection of this name exists.
        """
        if not config.created_at:
            config = dataclasses.replace(config, created_at=datetime.now(UTC).isoformat(timespec="seconds"))
        if not self._artifacts.create(_path(config.name), config.dump()):
            raise Conflict(
                "the collection already exists", got=config.name, fix="Choose another name, or delete it."
            )
        mark_changed(self._artifacts, config.name)

    def get(self, name: str) -> CollectionConfig:
        """The collection `name`.

        Raises:
            CollectionNotFound: it does not exist; the message suggests the nearest names.
            Damaged: its file was changed after it was written.
            Incompatible: a newer version of lookalike wrote its file.
        """
        return CollectionConfig.parse(self._read(name).data, name)

    def check_exists(self, name: str) -> None:
        """Raises CollectionNotFound unless there is such a collection, readable or not."""
        self._read(name)

    def all(self) -> tuple[list[CollectionConfig], dict[str, Incompatible]]:
        """The collections whose file can be read, by name; and why the file of others cannot, by name."""
        readable: list[CollectionConfig] = []
        unreadable: dict[str, Incompatible] = {}
        for name in self.names():
            try:
                readable.append(self.get(name))
            except Incompatible as error:
                unreadable[name] = error
            except CollectionNotFound:  # deleted meanwhile
                continue
        return readable, unreadable

    def names(self) -> list[str]:
        """All collections, sorted."""
        folders = self._artifacts.list_folders(FOLDER)
        return [name for name in folders if is_collection_name(name) and self._artifacts.exists(_path(name))]

    def update(self, name: str, **changes: Any) -> CollectionConfig:
        """Change fields of a collection. Concurrent changes of other fields are kept.

        Raises:
            CollectionNotFound: there is no such collection.
            Conflict: other processes kept changing it.
        """
        for _ in range(UPDATE_ATTEMPTS):
            blob = self._read(name)
            config = dataclasses.replace(CollectionConfig.parse(blob.data, name), **changes)
            if self._artifacts.replace(_path(name), config.dump(), etag=blob.etag):
                mark_changed(self._artifacts, name)
                return config
        raise Conflict("other processes kept changing the collection", got=name, fix="Try again.")

    def delete(self, name: str) -> None:
        """Remove a collection and everything derived from it. The caller removes its images.

        The configuration is removed last, so that a deletion can be repeated after a crash.

        Raises:
            CollectionNotFound: there is no such collection.
        """
        self._read(name)
        folder = f"{FOLDER}/{name}"
        for info in list(self._artifacts.list(folder)):
            if info.path != _path(name):
                self._artifacts.delete(info.path)
        self._artifacts.delete_folder(folder)

    def _read(self, name: str) -> Blob:
        # A name that breaks the rule was never created, and must not become a path.
        if is_collection_name(name):
            try:
                return self._artifacts.get(_path(name))
            except ObjectNotFound:
                pass
        raise CollectionNotFound("no such collection", got=repr(name), fix=self._suggest(name))

    def _suggest(self, name: str) -> str:
        names = self.names()
        if not names:
            return "There are no collections yet. Create one: `lookalike index FOLDER --collection NAME`."
        near = difflib.get_close_matches(name, names, n=3) or names[:3]
        return f"Did you mean {' or '.join(near)}?"


def _path(name: str) -> str:
    return f"{FOLDER}/{name}/collection.json"
