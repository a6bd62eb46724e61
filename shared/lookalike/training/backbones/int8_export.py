"""The int8 file of an exported encoder: quantised, and kept only if its vectors are close enough to fp32."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.encoders.manifest import MODEL_FILES, EncoderManifest, PrecisionInfo, content_id
from lookalike.errors import Incompatible, InvalidInput
from lookalike.images import DecodedImage, Preprocess, model_input
from lookalike.integrity import file_sha256
from lookalike.training.backbones.int8_check import mean_cosine
from lookalike.training.backbones.network import Network
from lookalike.types import Pixels, Precision

MAX_CALIBRATION_PICTURES = 250
MIN_CALIBRATION_PICTURES = 10
"""Also the fewest images on which an int8 file can be checked."""
HELD_OUT_EVERY = 5
REFUSAL = "int8_refused"
"""Key of a manifest's details: why the encoder has no int8 file."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Int8Export:
    """Adds an int8 file to an encoder that has its fp32 file.

    Attributes:
        source: the network.
        folder: of the encoder.
        fp32: its manifest so far.
        bound: least mean cosine of int8 to fp32 vectors.
        report: called with a short description of each step.
    """

    source: Network
    folder: Path
    fp32: EncoderManifest
    bound: float
    report: Progress

    def add(self, calibration: Iterable[Pixels] | None, check: Iterable[Pixels] | None) -> EncoderManifest:
        """The manifest with both precisions, or with fp32 and the reason why there is no int8 file.

        Uses ranges that are known beforehand if the caller gives no calibration images, else those of the
        images.
        """
        found = self.fp32
        steps = self.fp32.preprocess
        if (calibration is None or check is not None) and steps == self.source.preprocess:
            found = self._with_known_ranges([_as_input(image, steps) for image in check or ()])
        if calibration is not None and "int8" not in found.precisions:
            return self._with_ranges_of(_calibration_inputs(calibration, steps))
        return found

    def _with_ranges_of(self, pictures: Sequence[Pixels]) -> EncoderManifest:
        held_out = pictures[::HELD_OUT_EVERY]
        seen = [picture for number, picture in enumerate(pictures) if number % HELD_OUT_EVERY]
        self.report(f"quantising to int8 on {len(seen)} images")
        try:
            model, float_layers = self.source.to_int8(seen)
        except Incompatible as error:
            return self._without(f"it cannot be made: {error}")
        both = self._with(
            write_model(self.folder, "int8", model),
            calibration_pictures=len(seen),
            held_out_pictures=len(held_out),
            float_layers=len(float_layers),
        )
        return self._judged(both, held_out)

    def _with_known_ranges(self, check: Sequence[Pixels]) -> EncoderManifest:
        try:
            known = self.source.known_int8()
        except Incompatible as error:
            return self._without(f"it cannot be made: {error}")
        if known is None:
            return self.fp32
        self.report("quantising to int8")
        written = write_model(self.folder, "int8", known.model)
        info = replace(written, mean_cosine_to_fp32=known.mean_cosine or 0.0)
        both = self._with(info, float_layers=known.float_layers)
        if len(check) >= MIN_CALIBRATION_PICTURES:
            judged = self._judged(both, check)
            # A cosine that was measured beforehand stays, so that the manifest is the same for all images.
            return both if known.mean_cosine and "int8" in judged.precisions else judged
        if known.mean_cosine is None:
            return self._without(f"{len(check)} images are too few to check its accuracy")
        return both

    def _with(self, info: PrecisionInfo, **details: Any) -> EncoderManifest:
        return identified(
            replace(
                self.fp32,
                precisions={**self.fp32.precisions, "int8": info},
                default_precision="int8",
                details={**self.fp32.details, **details},
            )
        )

    def _judged(self, both: EncoderManifest, held_out: Sequence[Pixels]) -> EncoderManifest:
        """`both` with the measured cosine, or fp32 alone and why int8 was rejected."""
        try:
            cosine = mean_cosine(both, self.folder, held_out)
        except Incompatible as error:
            return self._without(f"it cannot be run: {error}")
        self.report(f"int8 keeps a mean cosine of {cosine:.4f} to fp32 on {len(held_out)} other images")
        if cosine >= self.bound:
            kept = replace(both.precisions["int8"], mean_cosine_to_fp32=round(cosine, 5))
            return replace(both, precisions={**self.fp32.precisions, "int8": kept})
        refusal = f"its mean cosine to fp32 is {cosine:.4f}, and {self.bound:.4f} or more is required"
        return self._without(refusal, "More, and more typical, images may help")

    def _without(self, reason: str, advice: str = "") -> EncoderManifest:
        """The fp32 encoder, with the reason why it has no int8 file. A failed quantisation never fails the
        export."""
        self.report(f"int8 rejected: {reason}; only fp32 is kept. {advice}".rstrip(". "))
        (self.folder / MODEL_FILES["int8"]).unlink(missing_ok=True)
        return replace(self.fp32, details={**self.fp32.details, REFUSAL: reason})


def _calibration_inputs(pictures: Iterable[Pixels], preprocess: Preprocess) -> list[Pixels]:
    inputs = [_as_input(picture, preprocess) for picture in islice(pictures, MAX_CALIBRATION_PICTURES)]
    if len(inputs) < MIN_CALIBRATION_PICTURES:
        raise InvalidInput(
            "too few images to calibrate int8",
            got=len(inputs),
            expected=f"{MIN_CALIBRATION_PICTURES} or more; about 200 are good",
            fix="Give more images, or none to get fp32 only.",
        )
    return inputs


def _as_input(picture: Pixels, preprocess: Preprocess) -> Pixels:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise InvalidInput(
            "a calibration image cannot be used",
            got=f"{picture.dtype} {picture.shape}",
            expected="uint8 (height, width, 3)",
        )
    if picture.shape[:2] == (preprocess.size, preprocess.size):
        return picture
    return model_input(DecodedImage.from_pixels(picture), preprocess)


def write_model(folder: Path, precision: Precision, model: bytes) -> PrecisionInfo:
    """Write a model file of an encoder's folder; returns its entry in the manifest."""
    path = folder / MODEL_FILES[precision]
    path.write_bytes(model)
    return PrecisionInfo(path.name, file_sha256(path), len(model))


def identified(manifest: EncoderManifest) -> EncoderManifest:
    """The manifest with the id of its content."""
    return replace(manifest, id=content_id(manifest))
