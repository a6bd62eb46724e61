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
"""Images that `lookalike encoders build --calibrate` uses."""
CHECK_IMAGES = 50
LOCK = "encoders/.default.lock"


def default_encoder(
    library: Library, *, images: Sequence[Path] = (), progress: Callable[[str], None] | None = None
) -> EncoderManifest:
    """The store's default encoder (`Encoders.default`); built and added if the store has no encoder.

    Args:
        library: the store. In a folder, processes that start together build only once.
        images: files of the collection. Up to 50, taken evenly, are used to check that int8 is accurate on
            them; if it is not, the encoder is float32 only. With fewer than 10 readable ones it stays
            unchecked. The encoder itself does not depend on them.
        progress: called before each step.

    Raises:
        Incompatible: there are several encoders and none is the default one.
        BackboneNotFound: its weights are not installed.
    """
    with library.artifacts.lock(LOCK):
        return library.encoders.default() or _build(library, images, progress)


def _build(
    library: Library, images: Sequence[Path], progress: Callable[[str], None] | None
) -> EncoderManifest:
    from lookalike.training.child import build_encoder_in_child

    if progress:
        progress(f"building the default encoder, {DEFAULT_ENCODER}: once, in a few seconds")
    check = read_pictures(spread(images, CHECK_IMAGES))
    with tempfile.TemporaryDirectory(prefix="lookalike-encoder-") as scratch:
        folder = Path(scratch) / "encoder"
        build_encoder_in_child(DEFAULT_ENCODER, folder, check=check, progress=progress)
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
