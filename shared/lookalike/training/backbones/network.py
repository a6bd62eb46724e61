"""A feature extractor as the export sees it: what can be written as LiteRT models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lookalike.images import Preprocess
from lookalike.types import Pixels


@dataclass(frozen=True, slots=True)
class KnownInt8:
    """An int8 model whose ranges were known beforehand.

    Attributes:
        model: the file.
        float_layers: how many of its layers are float32.
        mean_cosine: to fp32, measured beforehand; None: never measured.
    """

    model: bytes
    float_layers: int
    mean_cosine: float | None = None


class Network(Protocol):
    """A feature extractor that can be written as LiteRT models."""

    @property
    def name(self) -> str:
        """Valid as an encoder's name."""

    @property
    def source(self) -> str:
        """Where it comes from."""

    @property
    def size(self) -> int:
        """Side of its square input, in pixels."""

    @property
    def dimension(self) -> int:
        """Of its feature vector."""

    @property
    def preprocess(self) -> Preprocess:
        """How images become its input, unless the caller chooses."""

    @property
    def details(self) -> Mapping[str, Any]:
        """Of the software that writes its models."""

    def to_fp32(self) -> bytes:
        """The model in float32. Raises Incompatible."""

    def to_int8(self, images: Sequence[Pixels]) -> tuple[bytes, Sequence[str]]:
        """The model in int8, with the ranges of `images`; and its float layers. Raises Incompatible."""

    def known_int8(self) -> KnownInt8 | None:
        """The model in int8 if its ranges are known without images. Raises Incompatible."""
