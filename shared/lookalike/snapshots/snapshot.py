"""A snapshot opened for reading: memory-mapped index and item columns."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import Damaged, Incompatible, ObjectNotFound, SnapshotNotFound
from lookalike.indexes import Index, open_index
from lookalike.integrity import check_file, file_sha256
from lookalike.search_space import SearchSpace
from lookalike.snapshots.item_columns import ItemReader, read_columns
from lookalike.snapshots.manifest import COLUMNS_FILE, MANIFEST_FILE, SnapshotManifest
from lookalike.snapshots.pointer import REBUILD
from lookalike.storage import Store
from lookalike.timing import span
from lookalike.types import Item, Vectors

if TYPE_CHECKING:
    import pyarrow as pa

KEPT_IN_CACHE = 2
OPEN_ATTEMPTS = 8
STALE_DOWNLOAD_SECONDS = 3_600.0
PARTIAL = ".part"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Row i of `items` is row i of `index`. Rows are ordered by id. Thread-safe.

    The index holds the encoder's vectors as `space` projects them; None: as they are.
    """

    manifest: SnapshotManifest
    items: pa.Table
    rows: ItemReader
    index: Index
    space: SearchSpace | None = None

    @property
    def size(self) -> int:
        """Items."""
        return self.manifest.count

    @property
    def vectors(self) -> Vectors:
        """Shape (size, d), float32, read-only; mapped, not copied."""
        return self.index.vectors

    def in_search_space(self, vectors: Vectors) -> Vectors:
        """Vectors of the encoder, (n, encoder_dimension), as the index compares them."""
        return self.space.project(vectors) if self.space else vectors

    def id_at(self, row: int) -> str:
        """The id in row `row`."""
        return self.rows.id_at(row)

    def item_at(self, row: int) -> Item:
        """The item in row `row`."""
        return self.rows.item_at(row)

    def category_at(self, row: int) -> str | None:
        """The category of the item in row `row`."""
        return self.rows.category_at(row)

    def row_of(self, item_id: str) -> int | None:
        """The row of `item_id`, or None."""
        row = self.first_row_from(item_id)
        return row if row < self.size and self.id_at(row) == item_id else None

    def first_row_from(self, item_id: str) -> int:
        """The first row whose id is at least `item_id`; `size` if there is none."""
        low, high = 0, self.size
        while low < high:
            middle = (low + high) // 2
            if self.rows.id_at(middle) < item_id:
                low = middle + 1
            else:
                high = middle
        return low


def snapshots_folder(collection: str) -> str:
    """Path of a collection's snapshots in the artifacts store."""
    return f"collections/{collection}/snapshots"


def snapshot_folder(collection: str, snapshot_id: str) -> str:
    """Path of one snapshot in the artifacts store."""
    return f"{snapshots_folder(collection)}/{snapshot_id}"


def read_manifest(artifacts: Store, collection: str, snapshot_id: str) -> SnapshotManifest:
    """The manifest of one snapshot.

    Raises:
        SnapshotNotFound: there is no such snapshot.
        Incompatible: this version cannot read it.
    """
    try:
        blob = artifacts.get(f"{snapshot_folder(collection, snapshot_id)}/{MANIFEST_FILE}")
    except ObjectNotFound as error:
        raise SnapshotNotFound("there is no such snapshot", got=f"{collection}/{snapshot_id}") from error
    return SnapshotManifest.parse(blob.data)


def open_snapshot(manifest: SnapshotManifest, artifacts: Store, cache: Path) -> Snapshot:
    """Open a snapshot in place, or on S3 after downloading it to `cache`.

    The cache keeps the last two opened snapshots. Open files stay readable.

    Raises:
        SnapshotNotFound: its files were removed because another one became current.
        Damaged: a file is not what was written.
        Incompatible: its files and its manifest disagree.
    """
    for attempt in range(OPEN_ATTEMPTS):
        folder = None
        try:
            folder = fetch_snapshot(manifest, artifacts, cache)
            with span("load snapshot"):
                return _open(manifest, folder)
        except (FileNotFoundError, ObjectNotFound, Incompatible) as error:
            if not artifacts.exists(f"{snapshot_folder(manifest.collection, manifest.id)}/{MANIFEST_FILE}"):
                raise SnapshotNotFound("the snapshot's files were removed", got=manifest.id) from error
            # Another reader may have made room in the cache just between finding and opening the files, and
            # a third one may have brought the folder back since: that it is there now proves nothing.
            if attempt == OPEN_ATTEMPTS - 1:
                if isinstance(error, Incompatible):
                    raise
                raise _missing(manifest, error) from error
            if isinstance(error, Damaged):
                if attempt or folder is None or artifacts.folder is not None:
                    raise
                _remove(folder)  # a damaged copy of S3's file: download it again, once
    raise AssertionError("unreachable")


def _open(manifest: SnapshotManifest, folder: Path) -> Snapshot:
    check_hashes(manifest, folder)
    items = read_columns(folder / COLUMNS_FILE)
    if items.num_rows != manifest.count:
        raise Incompatible(
            f"snapshot {manifest.id} and its {COLUMNS_FILE} disagree",
            got=f"{items.num_rows} rows",
            expected=f"{manifest.count} items",
        )
    return Snapshot(
        manifest, items, ItemReader(items), open_index(manifest.index, folder), _space(manifest, folder)
    )


def _space(manifest: SnapshotManifest, folder: Path) -> SearchSpace | None:
    if manifest.space is None:
        return None
    data = (folder / manifest.space.file).read_bytes()
    return SearchSpace.read(data, manifest.metric, manifest.space, manifest.dimension)


def check_hashes(manifest: SnapshotManifest, folder: Path) -> None:
    """Compare the files that searches need with their hashes; older snapshots have none.

    Raises:
        Damaged: a file is not what was written.
        FileNotFoundError: there is no such file.
    """
    for name in manifest.files:
        if expected := manifest.hashes.get(name):
            check_file(folder / name, expected, f"snapshot {manifest.id}", REBUILD)


def is_whole(manifest: SnapshotManifest, artifacts: Store) -> bool:
    """Whether the files of a snapshot are those that were written.

    On S3 only whether they exist: to compare them, each would be downloaded.
    """
    stored = snapshot_folder(manifest.collection, manifest.id)
    try:
        if (folder := artifacts.local_path(stored)) is not None:
            check_hashes(manifest, folder)
    except (Damaged, FileNotFoundError):
        return False
    return all(artifacts.exists(f"{stored}/{name}") for name in manifest.files)


def _missing(manifest: SnapshotManifest, error: OSError | ObjectNotFound) -> Damaged:
    name = Path(str(error.filename)).name if isinstance(error, OSError) else error.got
    return Damaged(f"a file of snapshot {manifest.id} is missing", got=f"no {name}", fix=REBUILD)


def fetch_snapshot(manifest: SnapshotManifest, artifacts: Store, cache: Path) -> Path:
    """The folder with the snapshot's files: in the store, or downloaded to `cache`.

    Raises:
        ObjectNotFound: a file was removed from the store.
        StoreUnavailable: the store is not available.
    """
    stored = artifacts.local_path(snapshot_folder(manifest.collection, manifest.id))
    if stored is not None:
        return stored
    parent = cache / "snapshots" / manifest.collection
    target = parent / manifest.id
    if not target.is_dir():
        parent.mkdir(parents=True, exist_ok=True)
        _make_room(parent)
        # Under a temporary name until complete: a folder named by an id is complete.
        staging = Path(tempfile.mkdtemp(prefix=f"{manifest.id}.", suffix=PARTIAL, dir=parent))
        try:
            source = snapshot_folder(manifest.collection, manifest.id)
            with span("download snapshot"):
                for name in manifest.files:
                    artifacts.download(f"{source}/{name}", staging / name)
            staging.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another thread or process came first
                raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return target


def fetch_side_file(manifest: SnapshotManifest, name: str, artifacts: Store, cache: Path) -> Path:
    """One of the snapshot's side files: in the store, or downloaded to `cache`.

    Raises:
        Damaged: the file is not what was written.
        SnapshotNotFound: its files were removed because another one became current.
        StoreUnavailable: the store is not available.
    """
    path = fetch_snapshot(manifest, artifacts, cache) / name
    stored = snapshot_folder(manifest.collection, manifest.id)
    try:
        if artifacts.folder is None and not _is_as_written(manifest, path):
            path.unlink(missing_ok=True)  # a damaged copy
            artifacts.download(f"{stored}/{name}", path)
        if expected := manifest.hashes.get(name):
            check_file(path, expected, f"snapshot {manifest.id}", REBUILD)
    except (FileNotFoundError, ObjectNotFound) as error:
        if artifacts.exists(f"{stored}/{MANIFEST_FILE}"):
            raise _missing(manifest, error) from error
        raise SnapshotNotFound("the snapshot's files were removed", got=manifest.id) from error
    return path


def _is_as_written(manifest: SnapshotManifest, path: Path) -> bool:
    expected = manifest.hashes.get(path.name)
    return path.is_file() and (expected is None or file_sha256(path) == expected)


def forget_snapshots(cache: Path, collection: str, *, but: str | None) -> None:
    """Remove the downloaded files of a collection's snapshots except one. Open files stay readable.

    For readers with little disk space.
    """
    parent = cache / "snapshots" / collection
    if parent.is_dir():
        for folder in list(parent.iterdir()):
            if folder.is_dir() and folder.suffix != PARTIAL and folder.name != but:
                _remove(folder)


def _remove(folder: Path) -> None:
    # Rename in one step: a reader that opens it now finds all of its files, or none.
    doomed = folder.with_name(f"{folder.name}.{os.getpid()}{PARTIAL}")
    with suppress(OSError):  # another process came first
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _make_room(parent: Path) -> None:
    """Remove all but the newest snapshot, so that the next one makes `KEPT_IN_CACHE`."""
    folders = sorted((entry for entry in parent.iterdir() if entry.is_dir()), reverse=True)
    for folder in [folder for folder in folders if folder.suffix != PARTIAL][KEPT_IN_CACHE - 1 :]:
        _remove(folder)
    for folder in folders:
        with suppress(FileNotFoundError):
            abandoned = folder.stat().st_mtime < time.time() - STALE_DOWNLOAD_SECONDS
            if folder.suffix == PARTIAL and abandoned:
                shutil.rmtree(folder, ignore_errors=True)
