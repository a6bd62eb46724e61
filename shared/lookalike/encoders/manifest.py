"""`encoder.json`: the description of an encoder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lookalike.encoders.learnt_images import Learnt
from lookalike.errors import EncoderNotFound, EncoderRejected, Incompatible
from lookalike.images import Preprocess
from lookalike.integrity import convert, field_names, reading, seal, unseal
from lookalike.types import Precision

FORMAT = 1
MANIFEST_FILE = "encoder.json"
DAMAGE_FIX = "Restore it from a backup, or build the encoder again."
MODEL_FILES: Mapping[Precision, str] = {"fp32": "encoder.tflite", "int8": "encoder.int8.tflite"}
NAME_RULE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
ID_DIGITS = 12
FULL_ID = re.compile(rf"{NAME_RULE.pattern}-[0-9a-f]{{{ID_DIGITS}}}")


@dataclass(frozen=True, slots=True)
class VectorSpec:
    """One kind of vector of an encoder: its name, dimension, and whether it has unit length."""

    name: str
    dimension: int
    normalized: bool = True


@dataclass(frozen=True, slots=True)
class PrecisionInfo:
    """One model file of the encoder.

    `mean_cosine_to_fp32` is measured on images that were not used for calibration.
    """

    file: str
    sha256: str
    size_bytes: int
    mean_cosine_to_fp32: float = 1.0


@dataclass(frozen=True, slots=True)
class EncoderManifest:
    """Description of an encoder. Its id hashes everything that determines its vectors.

    Attributes:
        id: `<name>-<12 hex digits>`; see `content_id`.
        name: for people.
        backbone: its origin (preset name, handle or folder); informational.
        preprocess: how an image becomes the model's input.
        vectors: the kinds of vectors it returns; searches use the one named `image`.
        precisions: model files by precision; `fp32` always exists.
        default_precision: used for items and queries by default.
        created_at: ISO 8601, UTC.
        details: further information (versions, calibration, why int8 was rejected; for a trained encoder
            `held_out`, a list).
        format: version of this file's layout.
    """

    id: str
    name: str
    backbone: str
    preprocess: Preprocess
    vectors: tuple[VectorSpec, ...]
    precisions: Mapping[Precision, PrecisionInfo]
    default_precision: Precision
    created_at: str
    details: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def dimension(self) -> int:
        """Dimension of the `image` vector."""
        return self.vector("image").dimension

    @property
    def held_out(self) -> frozenset[str]:
        """Ids of the images that its training held out; empty if untrained."""
        return frozenset(self.details.get("held_out", ()))

    @property
    def learnt(self) -> Learnt:
        """The images that it was trained on; empty if untrained, or trained by an older version."""
        return Learnt(self.details.get("learnt", ""))

    @property
    def categories(self) -> frozenset[str]:
        """The categories that it was trained on; empty like `learnt`."""
        return frozenset(self.details.get("categories", ()))

    def vector(self, name: str) -> VectorSpec:
        """The vector called `name`. Raises Incompatible if the encoder has none of that name."""
        for spec in self.vectors:
            if spec.name == name:
                return spec
        raise Incompatible(
            f"encoder {self.id} has no such vector",
            got=repr(name),
            expected=" or ".join(spec.name for spec in self.vectors),
        )

    def precision(self, wanted: Precision | None) -> PrecisionInfo:
        """The model file for `wanted` (None: the default).

        Raises:
            EncoderRejected: it was exported, but differed too much from fp32.
            EncoderNotFound: it was never exported.
        """
        precision = wanted or self.default_precision
        if precision in self.precisions:
            return self.precisions[precision]
        if refusal := self.details.get(f"{precision}_refused"):
            raise EncoderRejected(f"encoder {self.id} has no {precision} file, because {refusal}")
        raise EncoderNotFound(
            f"encoder {self.id} was not exported in this precision",
            got=precision,
            expected=" or ".join(self.precisions),
            fix="Build it with calibration images to get int8.",
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary; `from_json` is its inverse."""
        return {
            "format": self.format,
            "id": self.id,
            "name": self.name,
            "backbone": self.backbone,
            "preprocess": self.preprocess.to_json(),
            "vectors": [asdict(spec) for spec in self.vectors],
            "precisions": {precision: asdict(info) for precision, info in self.precisions.items()},
            "default_precision": self.default_precision,
            "created_at": self.created_at,
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EncoderManifest:
        """Inverse of `to_json`.

        Raises:
            Incompatible: another format version, a missing field, or an id that is not that of the content.
        """
        if value.get("format") != FORMAT:
            raise Incompatible(
                "encoder.json has a format that this version cannot read",
                got=value.get("format"),
                expected=FORMAT,
            )
        try:
            manifest = cls(
                id=str(value["id"]),
                name=str(value["name"]),
                backbone=str(value["backbone"]),
                preprocess=Preprocess.from_json(value["preprocess"]),
                vectors=convert(tuple[VectorSpec, ...], value["vectors"]),
                precisions=convert(Mapping[Precision, PrecisionInfo], value["precisions"]),
                default_precision=convert(Precision, value["default_precision"]),
                created_at=str(value["created_at"]),
                details=convert(Mapping[str, Any], value.get("details", {})),
            )
            convert(tuple[str, ...], manifest.details.get("held_out", []))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, Incompatible):
                raise
            raise Incompatible(f"encoder.json has a missing or unknown field: {error}") from error
        if any(info.file != MODEL_FILES.get(key) for key, info in manifest.precisions.items()):
            raise Incompatible(
                "encoder.json names model files that it cannot have",
                got=", ".join(f"{key}: {info.file}" for key, info in manifest.precisions.items()),
                expected=", ".join(f"{key}: {file}" for key, file in MODEL_FILES.items()),
            )
        expected = content_id(manifest)
        if manifest.id != expected:
            raise Incompatible(
                "encoder.json was changed after the encoder was built",
                got=manifest.id,
                expected=expected,
                fix="An encoder is immutable: build a new one instead.",
            )
        return manifest

    @classmethod
    def read(cls, folder: Path) -> EncoderManifest:
        """The manifest in `folder`. Raises EncoderNotFound (no such file) or Incompatible."""
        return cls.parse(_existing(folder / MANIFEST_FILE).read_bytes())

    @classmethod
    def parse(cls, data: bytes) -> EncoderManifest:
        """The manifest in the bytes of an `encoder.json`. Raises Incompatible."""
        value = unseal(data, MANIFEST_FILE, format=FORMAT, known=field_names(cls), fix=DAMAGE_FIX)
        with reading(MANIFEST_FILE, DAMAGE_FIX):
            return cls.from_json(value)

    def dump(self) -> bytes:
        """The bytes of `encoder.json`."""
        return seal(self.to_json())


def content_id(manifest: EncoderManifest) -> str:
    """`<name>-<first 12 hex digits of the SHA-256>` of everything that determines the vectors.

    These are: format, preprocessing, vectors, the hash of every model file, and the default precision, but
    not the time or origin.
    """
    content = {
        "format": manifest.format,
        "preprocess": manifest.preprocess.to_json(),
        "vectors": [asdict(spec) for spec in manifest.vectors],
        "precisions": {precision: info.sha256 for precision, info in sorted(manifest.precisions.items())},
        "default_precision": manifest.default_precision,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{manifest.name}-{digest[:ID_DIGITS]}"


def name_of(encoder_id: str) -> str:
    """The name part of an id."""
    return encoder_id.rpartition("-")[0]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise EncoderNotFound(
            "this folder has no encoder",
            got=path.parent,
            expected=f"a folder with {MANIFEST_FILE}",
            fix="Build one: `lookalike encoders build`.",
        )
    return path
