"""The default encoder: what a collection uses when no encoder is named. Built when the store has none."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.encoders.registry import DEFAULT_ENCODER
from lookalike.errors import ImageRejected

if TYPE_CHECKING:
    from lookalike.encoders import EncoderManifest
    from lookalike.library import Library
    from lookalike.types import Pixels

CALIBRATION_PICTURES = 200
MIN_CALIBRATION_PICTURES = 50
LOCK = "encoders/.default.lock"


def default_encoder(
    library: Library, *, images: Sequence[Path] = (), progress: Callable[[str], None] | None = None
) -> EncoderManifest:
    """The store's default encoder (`Encoders.default`); built and added if the store has no encoder.

    Args:
        library: the store. In a folder, processes that start together build only once.
        images: files that int8 may be calibrated on. Up to 200, taken evenly, are used. With fewer than 50
            readable ones the encoder gets no int8 file, because ranges seen on so few mislead.
        progress: called before each step.

    Raises:
        Incompatible: there are several encoders and none is the default one; or building one needs
            TensorFlow, which is not installed.
    """
    with library.artifacts.lock(LOCK):
        return library.encoders.default() or _build(library, images, progress)


def _build(
    library: Library, images: Sequence[Path], progress: Callable[[str], None] | None
) -> EncoderManifest:
    from lookalike.training.child import build_encoder_in_child

    sample = list(read_pictures(spread(images, CALIBRATION_PICTURES)))
    calibration = sample if len(sample) >= MIN_CALIBRATION_PICTURES else None
    with tempfile.TemporaryDirectory(prefix="lookalike-encoder-") as scratch:
        folder = Path(scratch) / "encoder"
        build_encoder_in_child(DEFAULT_ENCODER, folder, calibration=calibration, progress=progress)
        return library.encoders.add(folder)


def spread(pictures: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of `pictures`, taken evenly, so that every category folder has its share."""
    step = max(1, -(-len(pictures) // count))
    return list(pictures[::step])


def read_pictures(files: Iterable[Path]) -> Iterator[Pixels]:
    """The images of `files`, (height, width, 3) uint8; those that cannot be read are left out."""
    from lookalike.images import ImageLimits, decode
    from lookalike.settings import Settings

    limits = ImageLimits.from_settings(Settings())
    for file in files:
        try:
            yield decode(file.read_bytes(), limits, min_side=256).pixels
        except (ImageRejected, OSError):
            continue
