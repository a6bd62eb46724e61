"""The output of a training container: one folder, which SageMaker packs as `model.tar.gz`.

```
encoder/          for `Encoders.add`
result.json       the trainer's metrics, seconds, epochs
split.json        ids on each side
notes.json        notes for users: what was left out of the source
comparison.json   with the encoder in use; absent if none could be read
report.html       the evaluation; absent if it could not be made
```
"""

from __future__ import annotations

import json
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.errors import Incompatible
from lookalike.integrity import convert, load_json, reading
from lookalike.publishing import Comparison

MAX_BYTES = 2 << 30
MAX_ENTRIES = 1_000
ENCODER, RESULT, SPLIT, NOTES = "encoder", "result.json", "split.json", "notes.json"
COMPARISON, REPORT = "comparison.json", "report.html"
FIX = "Train again."


@dataclass(frozen=True, slots=True)
class Artefact:
    """The content of the folder."""

    folder: Path

    @property
    def encoder(self) -> Path:
        """Folder of the encoder."""
        return self.folder / ENCODER

    @property
    def metrics(self) -> dict[str, float]:
        """The trainer's metrics on held-out images."""
        with reading(RESULT, FIX):
            return dict(convert(Mapping[str, float], self._json(RESULT)["metrics"]))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out of the source."""
        with reading(NOTES, FIX):
            return tuple(convert(tuple[str, ...], self._json(NOTES)))

    @property
    def comparison(self) -> Comparison | None:
        """The comparison with the encoder in use; None: there was nothing to compare with."""
        if not (self.folder / COMPARISON).is_file():
            return None
        with reading(COMPARISON, FIX):
            return Comparison.from_json(self._json(COMPARISON))

    @property
    def report(self) -> bytes | None:
        """The evaluation as HTML, if there is one."""
        page = self.folder / REPORT
        return page.read_bytes() if page.is_file() else None

    def _json(self, name: str) -> Any:
        try:
            return load_json((self.folder / name).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise Incompatible(
                "the model artefact is not that of a training", got=f"{name}: {error}", expected="JSON"
            ) from error

    # Writing

    def put(self, name: str, document: object) -> None:
        """Add a JSON document."""
        (self.folder / name).write_text(json.dumps(document, indent=1), "utf-8")

    def put_encoder(self, folder: Path) -> None:
        """Add the encoder. It comes last, because a folder with an encoder is a complete artefact."""
        shutil.copytree(folder, self.encoder, dirs_exist_ok=True)


def unpack_artefact(packed: Path, folder: Path) -> Artefact:
    """Unpack the artefact in an untrusted `model.tar.gz` into `folder`.

    Raises:
        Incompatible: it is not such a file, is truncated, has a path outside the folder, or is far too large.
    """
    try:
        with tarfile.open(packed, "r:gz") as archive:
            size = 0
            for count, member in enumerate(archive, start=1):
                size += member.size
                if size > MAX_BYTES or count > MAX_ENTRIES:
                    raise _refused(f"more than {MAX_BYTES >> 20:,} MB or {MAX_ENTRIES:,} files")
                if not (member.isfile() or member.isdir()):
                    raise _refused(f"{member.name!r}, neither file nor folder")
                archive.extract(member, folder, filter="data")
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's
            raise
        raise _refused(str(error)) from error
    return Artefact(folder)


def _refused(got: str) -> Incompatible:
    return Incompatible(
        "the model artefact cannot be unpacked",
        got=got,
        expected="the model.tar.gz of a training container",
        fix="Train again.",
    )
