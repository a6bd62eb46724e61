"""One Lance table: opened, upserted under a condition, read by id or by change, compacted.

Lance (https://lance.org/format/) commits by conditional put, so that processes on a folder and on S3 may
write at once; a writer that loses re-reads and tries again. `_row_last_updated_at_version` says which
commit last wrote a row (tables are made with stable row ids for that), and survives compaction.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from random import uniform
from typing import Any, TypeVar

from lookalike.catalogue.newest_version import newest_manifest, newest_version, remember, version_of
from lookalike.errors import Incompatible, StoreUnavailable
from lookalike.storage import ObjectInfo, Store

CHANGED = "_row_last_updated_at_version"
NEWER = "source.sequencer > target.sequencer"
ATTEMPTS = 8
FIRST_PAUSE_SECONDS = 0.05
LOOKUP_IDS = 1_024
TIDY_EVERY = 32
VERSION_GRACE = timedelta(minutes=20)
LEVEL_ROWS = 256
LEVEL_FACTOR = 16
COMPACT_BATCH_ROWS = 1_024
METADATA_CACHE_BYTES = 32 * 1024 * 1024
_Result = TypeVar("_Result")


class Table:
    """The Lance table at `path` of a store. It need not exist: then it is empty, at version 0."""

    def __init__(self, store: Store, path: str, schema: Callable[[], Any]) -> None:
        self._store = store
        self._path = path
        self._schema = schema

    @property
    def key(self) -> str:
        """Name of the primary key's column."""
        return str(self._schema().names[0])

    # Versions

    def newest(self) -> ObjectInfo | None:
        """The newest version's manifest, without Lance; None: no table. See `newest`."""
        return newest_manifest(self._store, self._path)

    def version(self) -> int:
        """The newest version; 0: no table."""
        return version_of(self.newest())

    def open(self, version: int | None = None) -> Any | None:
        """The Lance dataset at `version` (None: the newest), or None if there is no table.

        Raises:
            Incompatible: it has other columns.
            StoreUnavailable: the store failed, or `version` is not kept any more.
        """
        if version == 0:
            return None
        known = newest_version(self._store, self._path) if version is None else None
        dataset = self._opened(known) if known else None
        if dataset is not None:
            return dataset
        began = time.monotonic()
        dataset = self._opened(version)
        if version is None:  # Lance has listed the table
            remember(self._store, self._path, int(dataset.version) if dataset is not None else 0, began)
        elif dataset is None:
            raise StoreUnavailable(
                f"version {version} of {self._path} is not kept any more", fix="Start again from the newest."
            )
        return dataset

    def _opened(self, version: int | None) -> Any | None:
        """The dataset at `version` (None: the newest); None: it is not there."""
        try:
            dataset = _lance().dataset(
                self._store.lance_uri(self._path),
                version=version,
                storage_options=self._store.lance_options(),
                session=_session(),
            )
        except (OSError, ValueError) as error:  # Lance raises ValueError for any failure to open
            if "was not found" not in str(error):
                raise self._unavailable(error) from error
            return None
        self._check(dataset.schema)
        return dataset

    def _check(self, found: Any) -> None:
        """Reject a table of another dimension or of an incompatible version of lookalike."""
        expected = self._schema()
        for name, kind in zip(expected.names, expected.types, strict=True):
            place = found.get_field_index(name)
            if place < 0 or found.types[place] != kind:
                got = found.types[place] if place >= 0 else "no such column"
                raise Incompatible(
                    f"column {name} of the table {self._path} has another type or dimension",
                    got=got,
                    expected=kind,
                    fix="Each encoder, of one dimension, has its own vectors: use its id.",
                )

    def _open_or_create(self) -> Any:
        found = self.open()
        if found is not None:
            return found
        self._create()
        return self.open()

    def _create(self) -> None:
        """Create the empty table, unless another process was first.

        Lance lets two creators both succeed: the later one commits an overwrite, and what the earlier one
        wrote in between is gone. So the table is made at another path, and its first manifest, which makes it
        a table, is put only if there is none.
        """
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "made.lance"
            _lance().write_dataset(
                self._schema().empty_table(), str(made), mode="create", enable_stable_row_ids=True
            )
            files = [file for file in made.rglob("*") if file.is_file() and file.suffix != ".json"]
            for file in sorted(files, key=lambda file: file.suffix == ".manifest"):
                self._store.create(f"{self._path}/{file.relative_to(made).as_posix()}", file.read_bytes())

    # Writing

    def upsert(self, rows: Any) -> None:
        """Insert `rows` (Arrow, unique keys); one whose key exists replaces it if its sequencer is higher.

        Raises:
            StoreUnavailable: others kept committing first, or the store failed.
        """
        version = self._retried(lambda: self._upsert_once(rows))
        if version % TIDY_EVERY == 0:
            self.tidy()

    def _upsert_once(self, rows: Any) -> int:
        dataset = self._open_or_create()
        merge = dataset.merge_insert(self.key).when_matched_update_all(NEWER).when_not_matched_insert_all()
        began = time.monotonic()
        merge.execute(rows)
        remember(self._store, self._path, int(dataset.version), began)
        return int(dataset.version)

    def delete(self, conditions: Iterable[str]) -> None:
        """Remove the rows that meet any of the SQL `conditions`, one commit for each."""
        for condition in conditions:
            self._retried(lambda condition=condition: self._delete_once(condition))  # type: ignore[misc]

    def _delete_once(self, condition: str) -> None:
        dataset = self.open()
        if dataset is not None:
            dataset.delete(condition)

    def _retried(self, action: Callable[[], _Result]) -> _Result:
        """Lance itself retries a lost race a few times; this retries longer, after random delays."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return action()
            except (OSError, RuntimeError, ValueError) as error:
                if attempt == ATTEMPTS or not _is_conflict(error):
                    if _may_pass(error):
                        raise self._unavailable(error) from error
                    raise
                time.sleep(uniform(0.5, 1) * FIRST_PAUSE_SECONDS * 2**attempt)  # noqa: S311 - no secret
        raise AssertionError("unreachable")

    # Reading

    def read(
        self,
        columns: Sequence[str],
        condition: str | None = None,
        *,
        version: int | None = None,
        few: bool = False,
    ) -> Any:
        """Columns of the rows that meet an SQL `condition`, as Arrow, in the table's order.

        Args:
            columns: names.
            condition: None: all rows.
            version: None: the newest.
            few: few rows meet it, so that the other columns are worth reading for these rows alone.
        """
        dataset = self.open(version)
        if dataset is None:
            return self._schema().empty_table().select(list(columns))
        return self._guarded(
            lambda: dataset.to_table(
                columns=list(columns),
                filter=condition,
                scan_in_order=True,
                late_materialization=True if few else None,
            )
        )

    def lookup(
        self,
        values: Sequence[str],
        columns: Sequence[str],
        *,
        column: str | None = None,
        version: int | None = None,
    ) -> Any:
        """Columns of the rows whose `column` (default: the key) is one of `values`, in the table's order.

        Few are looked up by a condition; many by one pass over that column, and then their rows only.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        column = column or self.key
        if len(values) <= LOOKUP_IDS:
            condition = f"{column} IN ({', '.join(map(quoted, values))})" if values else "false"
            return self.read(columns, condition, version=version, few=True)
        dataset = self.open(version)
        if dataset is None:
            return self._schema().empty_table().select(list(columns))
        found = pc.is_in(
            self._guarded(lambda: dataset.to_table(columns=[column], scan_in_order=True)).column(0),
            value_set=pa.array(values, pa.string()),
        )
        rows = pc.indices_nonzero(found)
        return self._guarded(lambda: dataset.take(rows.to_pylist(), columns=list(columns)))

    def count(self, condition: str | None = None, *, version: int | None = None) -> int:
        """How many rows meet `condition`."""
        dataset = self.open(version)
        return 0 if dataset is None else self._guarded(lambda: int(dataset.count_rows(condition)))

    def _guarded(self, action: Callable[[], _Result]) -> _Result:
        try:
            return action()
        except (OSError, ValueError) as error:
            if _may_pass(error):
                raise self._unavailable(error) from error
            raise

    # Housekeeping

    def tidy(self, grace: timedelta = VERSION_GRACE) -> None:
        """Merge small fragments and forget versions older than `grace`.

        Losing a race against a writer is not a failure: a later commit tidies again.
        """
        dataset = self.open()
        if dataset is None:
            return
        try:
            target = fragment_target([fragment.metadata.num_rows for fragment in dataset.get_fragments()])
            dataset.optimize.compact_files(
                target_rows_per_fragment=target, batch_size=COMPACT_BATCH_ROWS, num_threads=1
            )
            self.open().cleanup_old_versions(older_than=grace)  # type: ignore[union-attr]
        except (OSError, RuntimeError, ValueError) as error:
            if not _may_pass(error):
                raise

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(f"the table {self._path} could not be reached: {str(error)[:300]}")


def quoted(text: str) -> str:
    """`text` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _lance() -> Any:
    """Lance, with its log limited to errors: it warns when its compaction loses a race, which is harmless
    here."""
    os.environ.setdefault("LANCE_LOG", "error")
    import lance

    return lance


@cache
def _session() -> Any:
    """What all tables of this process share: connections to the store, and what was read of immutable files.

    Each `open` would start with an empty session. Names of data files are random and manifests are
    distinguished by their ETags, so a table that is deleted and made again is not confused with the old one.
    """
    return _lance().Session(metadata_cache_size_bytes=METADATA_CACHE_BYTES)


def fragment_target(rows: Sequence[int]) -> int:
    """How large fragments must be to be left alone by this compaction.

    Levels of 256, 4,096, 65,536 … rows: a level is merged into the next when 16 of its size are there. So a
    row is rewritten once per level, and N batches write O(N log N) bytes, where a fixed target would rewrite
    its last, half-full fragment each time (the log-structured merge tree of O'Neil et al., 1996, tiered).
    """
    target = LEVEL_ROWS
    while sum(target <= count < target * LEVEL_FACTOR for count in rows) >= LEVEL_FACTOR:
        target *= LEVEL_FACTOR
    return target


def _may_pass(error: Exception) -> bool:
    """Whether a retry may help: a lost race, or a store that fails. Anything else is a bug here."""
    return isinstance(error, OSError) or "LanceError(IO)" in str(error) or _is_conflict(error)


def _is_conflict(error: Exception) -> bool:
    text = str(error).lower()
    return "conflict" in text or "concurrent" in text or "contention" in text
