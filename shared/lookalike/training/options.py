"""The options of a training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from lookalike.errors import InvalidInput

Loss = Literal["softmax", "cosface", "arcface", "contrastive", "triplet"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_RANGES: Mapping[str, tuple[float, float]] = {
    "dimension": (8, 4096),
    "views": (1, 64),
    "epochs": (1, 1000),
    "blend": (0.0, 1.0),
    "validation_fraction": (0.02, 0.5),
    "seed": (0, 2**31 - 1),
}


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """Options of one training; the defaults are what `bench.training` measures.

    Attributes:
        backbone: see `backbones.load_backbone`.
        loss: see `losses`.
        dimension: of the feature-vector layer.
        views: augmented views of each image; the first is the view that serving uses.
        last_stages: train the last stages of the backbone too. For the packaged backbones only.
        whole_network: train all of the backbone instead, on images that are decoded anew for
            every epoch: ordinary fine-tuning, which needs a GPU.
        epochs: of the last phase; None takes the phase's own number.
        blend: share of the trained features in the vector, in [0, 1]. The rest are the backbone's own
            features, which still distinguish images within a category. None: chosen on validation data.
        validation_fraction: share of the images held out.
        seed: of everything random.
        name: of the encoder; None: the backbone's name and what was trained.

    Raises:
        InvalidInput: a value is out of range.
    """

    backbone: str = "efficientnet-lite0"
    loss: Loss = "cosface"
    dimension: int = 256
    views: int = 6
    last_stages: bool = False
    whole_network: bool = False
    epochs: int | None = None
    blend: float | None = None
    validation_fraction: float = 0.1
    seed: int = 0
    name: str | None = None

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise InvalidInput("unknown loss", got=repr(self.loss), expected=" | ".join(LOSSES))
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise InvalidInput(
                "this cannot be an encoder's name",
                got=repr(self.name),
                expected="1 to 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit",
            )
        if self.last_stages and self.whole_network:
            raise InvalidInput(
                "the last stages are part of the whole network",
                got="both",
                expected="one of the two, or none",
            )
        for option, (least, most) in _RANGES.items():
            value = getattr(self, option)
            if value is not None and not least <= value <= most:
                raise InvalidInput(f"{option} is out of range", got=value, expected=f"{least:g} to {most:g}")

    @property
    def trains_backbone(self) -> bool:
        """Whether more than the two added layers is trained."""
        return self.last_stages or self.whole_network

    def to_json(self) -> dict[str, Any]:
        """The options by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainingOptions:
        """Inverse of `to_json`; absent options keep their defaults. Raises InvalidInput."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            known = ", ".join(field.name for field in fields(cls))
            raise InvalidInput("unknown training option", got=", ".join(unknown), expected=known)
        try:
            return cls(**values)
        except TypeError as error:
            raise InvalidInput("a training option has the wrong type", got=str(error)) from error
