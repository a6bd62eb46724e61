"""Encoders by id in the artifacts store. Folder stores are read in place; S3 is downloaded to a cache."""

from __future__ import annotations

import difflib
import logging
import shutil
import tempfile
import threading
from pathlib import Path
from weakref import WeakValueDictionary

from lookalike.encoders.manifest import (
    FULL_ID,
    MANIFEST_FILE,
    EncoderManifest,
    PrecisionInfo,
    name_of,
)
from lookalike.encoders.runtime import Encoder
from lookalike.errors import Damaged, EncoderNotFound, Incompatible, ObjectNotFound
from lookalike.integrity import file_sha256
from lookalike.storage import Store
from lookalike.timing import span
from lookalike.types import Precision

logger = logging.getLogger(__name__)

FOLDER = "encoders"
DEFAULT_ENCODER = "efficientnet-lite0"
"""Name of the encoder that a new collection uses unless it names another one."""


class Encoders:
    """All encoders of one artifacts store. Safe to share between threads."""

    def __init__(self, artifacts: Store, cache: Path | None = None) -> None:
        """`cache` is the folder for model files of an S3 store; None creates a temporary folder if needed."""
        self._artifacts = artifacts
        self._cache = cache
        self._lock = threading.Lock()
        self._loaded: WeakValueDictionary[tuple[str, Precision, int], Encoder] = WeakValueDictionary()

    def add(self, folder: Path) -> EncoderManifest:
        """Copy the encoder in `folder` into the store. Adding the same one again changes nothing.

        Raises:
            EncoderNotFound: the folder holds no `encoder.json`.
            Incompatible: a model file is absent, or its hash differs from the manifest.
        """
        manifest = EncoderManifest.read(folder)
        for info in manifest.precisions.values():
            _verify(folder / info.file, info, manifest.id)
        for info in manifest.precisions.values():
            self._artifacts.put(f"{FOLDER}/{manifest.id}/{info.file}", folder / info.file)
        # The manifest is written last, so a listed encoder is complete.
        self._artifacts.create(f"{FOLDER}/{manifest.id}/{MANIFEST_FILE}", manifest.dump())
        return manifest

    def get(self, id_or_name: str) -> EncoderManifest:
        """The encoder of this id, name, or unique beginning of an id.

        Raises:
            EncoderNotFound: there is none, or more than one; the message names the nearest.
            Incompatible: its manifest cannot be read by this version.
        """
        if FULL_ID.fullmatch(id_or_name):  # one request for any number of encoders
            try:
                return self._read(id_or_name)
            except ObjectNotFound:
                pass
        ids = self._ids()
        found = [known for known in ids if name_of(known) == id_or_name]
        found = found or [known for known in ids if id_or_name and known.startswith(id_or_name)]
        if len(found) == 1:
            return self._read(found[0])
        if found:
            raise EncoderNotFound(
                "more than one encoder matches", got=repr(id_or_name), expected=" or ".join(found)
            )
        raise EncoderNotFound(
            "there is no such encoder", got=repr(id_or_name), fix=_suggestion(id_or_name, ids)
        )

    def list(self) -> list[EncoderManifest]:
        """Every encoder of the store that can be read, by id. Logs a warning about each of the others."""
        found = []
        for known in self._ids():
            try:
                found.append(self._read(known))
            except Incompatible as error:
                logger.warning("encoder %s is left out: %s", known, error)
        return found

    def default(self) -> EncoderManifest | None:
        """The newest encoder named `DEFAULT_ENCODER`; else the store's only encoder; None: there is none.

        Raises:
            Damaged: an encoder's manifest cannot be read; it may be the newest.
            Incompatible: there are several encoders and none of this name, so the caller has to choose.
        """
        known = [self._read(id_) for id_ in self._ids()]
        defaults = [manifest for manifest in known if manifest.name == DEFAULT_ENCODER]
        if defaults:
            return max(defaults, key=lambda manifest: (manifest.created_at, manifest.id))
        if len(known) > 1:
            raise Incompatible(
                "the store has several encoders and none is the default one",
                got=", ".join(manifest.id for manifest in known),
                fix="Name one with --encoder.",
            )
        return known[0] if known else None

    def load(self, id_or_name: str, precision: Precision | None = None, threads: int = 1) -> Encoder:
        """The encoder, ready to run. Callers that request the same one share it while any of them uses it.

        Args:
            id_or_name: as for `get`.
            precision: None is the manifest's default.
            threads: threads within one call; see `Encoder`.

        Raises:
            EncoderNotFound: as for `get`, or it was not exported in this precision.
            Incompatible: manifest and model file disagree.
        """
        manifest = self.get(id_or_name)
        wanted = precision or manifest.default_precision
        key = (manifest.id, wanted, threads)
        with self._lock:
            encoder = self._loaded.get(key)
            if encoder is None:
                path = self._model_path(manifest, manifest.precision(wanted))
                with span("load encoder"):
                    encoder = self._loaded[key] = Encoder(manifest, path, wanted, threads=threads)
            return encoder

    def forget_unused(self) -> None:
        """Remove downloaded model files of encoders that are no longer in use."""
        if self._cache is None or self._artifacts.folder is not None:
            return
        with self._lock:
            held = {id_ for id_, _, _ in self._loaded}
            folder = self._cache / FOLDER
            for entry in list(folder.iterdir()) if folder.is_dir() else ():
                if entry.name not in held:
                    shutil.rmtree(entry, ignore_errors=True)

    def _ids(self) -> tuple[str, ...]:
        folders = self._artifacts.list_folders(FOLDER)
        return tuple(
            known for known in folders if self._artifacts.exists(f"{FOLDER}/{known}/{MANIFEST_FILE}")
        )

    def _read(self, encoder_id: str) -> EncoderManifest:
        return EncoderManifest.parse(self._artifacts.get(f"{FOLDER}/{encoder_id}/{MANIFEST_FILE}").data)

    def _model_path(self, manifest: EncoderManifest, info: PrecisionInfo) -> Path:
        stored = f"{FOLDER}/{manifest.id}/{info.file}"
        in_place = self._artifacts.local_path(stored)
        if in_place is not None:
            _verify(in_place, info, manifest.id)
            return in_place
        if self._cache is None:
            self._cache = Path(tempfile.mkdtemp(prefix="lookalike-"))
        cached = self._cache / stored
        # A damaged copy is replaced.
        if not cached.is_file() or file_sha256(cached) != info.sha256:
            self._download(stored, cached, info, manifest.id)
        return cached

    def _download(self, stored: str, cached: Path, info: PrecisionInfo, encoder_id: str) -> None:
        cached.parent.mkdir(parents=True, exist_ok=True)
        # Checked under a temporary name, so that no other process opens an unchecked file.
        with tempfile.TemporaryDirectory(dir=cached.parent) as staging:
            staged = Path(staging) / info.file
            try:
                with span("download encoder"):
                    self._artifacts.download(stored, staged)
            except ObjectNotFound as error:
                raise Incompatible(
                    f"encoder {encoder_id} is incomplete", got=f"no {stored}", fix="Add it again."
                ) from error
            _verify(staged, info, encoder_id)
            staged.replace(cached)


def _verify(path: Path, info: PrecisionInfo, encoder_id: str) -> None:
    got = file_sha256(path) if path.is_file() else f"no file {path.name}"
    if got != info.sha256:
        raise Damaged(
            f"{info.file} is not the file of encoder {encoder_id}",
            got=got,
            expected=info.sha256,
            fix=f"Restore {FOLDER}/{encoder_id}/{info.file} from a backup, or publish another encoder.",
        )


def _suggestion(wanted: str, ids: tuple[str, ...]) -> str:
    if not ids:
        return "The store has no encoders yet. Build one: `lookalike encoders build`."
    names = {name_of(known): known for known in ids} | {known: known for known in ids}
    near = list(
        dict.fromkeys(names[match] for match in difflib.get_close_matches(wanted, names, n=5, cutoff=0.3))
    )
    return f"Nearest: {', '.join((near or ids)[:3])}."
