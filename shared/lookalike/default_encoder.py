"""The encoder that a collection lives by when nobody names one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import ImageRejected, Incompatible

if TYPE_CHECKING:
    from lookalike.encoders import EncoderManifest, Encoders
    from lookalike.storage import Store
    from lookalike.types import Pixels

DEFAULT_BACKBONE = "efficientnet-lite0"
CALIBRATION_PICTURES = 200
MIN_CALIBRATION_PICTURES = 50
LOCK = "encoders/.default.lock"

Progress = Callable[[str], None]


def default_encoder(
    encoders: Encoders,
    artifacts: Store,
    *,
    pictures: Sequence[Path] = (),
    progress: Progress | None = None,
) -> EncoderManifest:
    """The newest default encoder of the store, or its only encoder; a default one is built if it has none.

    Args:
        encoders: where to look and to add.
        artifacts: the store behind `encoders`; in a folder, processes that start together build only once.
        pictures: files that int8 may be calibrated on. Up to 200, taken evenly, are used; with fewer than 50
            that can be read the encoder gets no int8 file, because ranges seen on so few mislead.
        progress: is told what is being done.

    Raises:
        Incompatible: there are several encoders and none is a default one, so somebody has to choose; or
            building one needs TensorFlow, which is not installed.
    """
    with artifacts.lock(LOCK):
        return _existing(encoders) or _build(encoders, pictures, progress)


def _existing(encoders: Encoders) -> EncoderManifest | None:
    known = encoders.list()
    defaults = [manifest for manifest in known if manifest.name == DEFAULT_BACKBONE]
    if defaults:
        return max(defaults, key=lambda manifest: (manifest.created_at, manifest.id))
    if len(known) > 1:
        raise Incompatible(
            "the store has several encoders and none is the default one",
            got=", ".join(manifest.id for manifest in known),
            fix="Name one with --encoder.",
        )
    return known[0] if known else None


def _build(encoders: Encoders, pictures: Sequence[Path], progress: Progress | None) -> EncoderManifest:
    from lookalike.training.child import build_encoder_in_child

    sample = list(read_pictures(spread(pictures, CALIBRATION_PICTURES)))
    calibration = sample if len(sample) >= MIN_CALIBRATION_PICTURES else None
    with tempfile.TemporaryDirectory(prefix="lookalike-encoder-") as scratch:
        folder = Path(scratch) / "encoder"
        build_encoder_in_child(DEFAULT_BACKBONE, folder, calibration=calibration, progress=progress)
        return encoders.add(folder)


def spread(pictures: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of `pictures`, taken evenly, so that every category folder has its share."""
    step = max(1, -(-len(pictures) // count))
    return list(pictures[::step])


def read_pictures(files: Iterable[Path]) -> Iterator[Pixels]:
    """The pictures of `files`, (height, width, 3) uint8; those that cannot be read are passed over."""
    from lookalike.images import ImageLimits, decode
    from lookalike.settings import Settings

    limits = ImageLimits.from_settings(Settings())
    for file in files:
        try:
            yield decode(file.read_bytes(), limits, min_side=256).pixels
        except (ImageRejected, OSError):
            continue
