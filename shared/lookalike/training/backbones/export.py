"""Backbone → encoder folder: `encoder.json`, `encoder.tflite` and, if it can be made, `encoder.int8.tflite`.

The accuracy of int8 is measured on images that were not used for calibration. An int8 file whose vectors
differ too much from fp32 is not kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.encoders.manifest import (
    MANIFEST_FILE,
    MODEL_FILES,
    NAME_RULE,
    EncoderManifest,
    PrecisionInfo,
    VectorSpec,
    content_id,
    file_sha256,
)
from lookalike.errors import Conflict, Incompatible, InvalidInput
from lookalike.images import DecodedImage, Preprocess, model_input
from lookalike.training.backbones.int8_check import MIN_MEAN_COSINE, mean_cosine
from lookalike.training.backbones.network import Network
from lookalike.training.backbones.packaged import PackagedNetwork
from lookalike.training.backbones.presets import PACKAGED
from lookalike.types import Pixels, Precision

MAX_CALIBRATION_PICTURES = 250
MIN_CALIBRATION_PICTURES = 10
"""Also the fewest images that can judge an int8 file."""
HELD_OUT_EVERY = 5
REFUSAL = "int8_refused"
"""Key of a manifest's details: why the encoder has no int8 file."""

Progress = Callable[[str], None]


def build_encoder(  # noqa: PLR0913  # each is one option of `lookalike encoders build`
    backbone: str,
    target: Path,
    *,
    name: str | None = None,
    calibration: Iterable[Pixels] | None = None,
    check: Iterable[Pixels] | None = None,
    bound: float = MIN_MEAN_COSINE,
    require_int8: bool = False,
    size: int | None = None,
    pixel_range: tuple[float, float] | None = None,
    preprocess: Preprocess | None = None,
    normalized: bool = True,
    progress: Progress | None = None,
) -> EncoderManifest:
    """Export `backbone` to the folder `target`, atomically.

    Args:
        backbone: see `backbones.load_backbone`.
        target: a folder that does not exist yet, or is empty.
        name: of the encoder; None: the backbone's name.
        calibration: images, uint8 (height, width, 3) of any size, typical of those that will be encoded. The
            first 250 are used: four fifths to quantise, one fifth to measure. None: a packaged network at its
            own size uses the ranges that come with it; of any other no int8 file is made.
        check: images like those that will be encoded, on which those ranges must prove good enough. Fewer
            than 10 prove nothing, and are ignored. With `calibration` too, its images are used if those
            ranges are not good enough.
        bound: least mean cosine of int8 to fp32 vectors. Below it, or if the int8 file cannot be made or run,
            only fp32 is kept, and the manifest's `details["int8_refused"]` says why.
        require_int8: raise instead of keeping only fp32.
        size: input side in pixels, if the backbone does not fix it.
        pixel_range: the backbone's input for a black and a white pixel; None: the preset's.
        preprocess: how an image becomes the input; None: the default, at the backbone's size.
        normalized: scale vectors to unit length. Unscaled vectors work with metrics l2 and l1 only.
        progress: called with a short description of each step.

    Raises:
        BackboneNotFound, Incompatible: from `load_backbone`, or LiteRT cannot express the model in fp32.
        EncoderRejected: int8 was required, and is below `bound` or cannot be made or run.
        InvalidInput: a name, image or preprocessing that cannot be used, or too few images.
        Conflict: `target` is not empty.
    """
    report = progress or _silent
    _check_name(name)
    _check_target(target)
    report(f"loading {backbone}")
    source = _load(backbone, size or (preprocess.size if preprocess else None), pixel_range)
    manifest = export_backbone(
        source,
        target,
        name=name or source.name,
        calibration=calibration,
        check=check,
        bound=bound,
        preprocess=preprocess,
        normalized=normalized,
        progress=report,
        require_int8=require_int8,
    )
    report(f"made {manifest.id}")
    return manifest


def _load(backbone: str, size: int | None, pixel_range: tuple[float, float] | None) -> Network:
    if backbone in PACKAGED:
        return PackagedNetwork.load(backbone, size=size, pixel_range=pixel_range)
    from lookalike.training.backbones.load import load_backbone  # imports TensorFlow

    return load_backbone(backbone, size=size, pixel_range=pixel_range)


def export_backbone(  # noqa: PLR0913  # as above
    source: Network,
    target: Path,
    *,
    name: str,
    calibration: Iterable[Pixels] | None = None,
    check: Iterable[Pixels] | None = None,
    bound: float = MIN_MEAN_COSINE,
    preprocess: Preprocess | None = None,
    normalized: bool = True,
    progress: Progress | None = None,
    require_int8: bool = False,
    details: Mapping[str, Any] | None = None,
) -> EncoderManifest:
    """Export a loaded backbone; see `build_encoder`. `details` go into the manifest."""
    report = progress or _silent
    steps = preprocess or source.preprocess
    if steps.size != source.size:
        raise InvalidInput(
            "the preprocessing does not fit the backbone",
            got=f"{steps.size} px",
            expected=f"{source.size} px",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as staging:
        folder = Path(staging) / "encoder"
        folder.mkdir()
        vector = VectorSpec("image", source.dimension, normalized)
        manifest = _export_fp32(source, folder, name, steps, vector, report)
        manifest = replace(manifest, details={**manifest.details, **(details or {})})
        if REFUSAL in manifest.details:
            report(f"int8 refused: {manifest.details[REFUSAL]}; only fp32 is kept")
        else:
            manifest = _add_int8(source, folder, manifest, calibration, check, bound, report)
        if require_int8:
            manifest.precision("int8")
        (folder / MANIFEST_FILE).write_bytes(manifest.dump())
        folder.replace(target)
    return manifest


def _export_fp32(
    source: Network, folder: Path, name: str, preprocess: Preprocess, vector: VectorSpec, report: Progress
) -> EncoderManifest:
    report("converting to LiteRT fp32")
    return _identified(
        EncoderManifest(
            id="",
            name=name,
            backbone=source.source,
            preprocess=preprocess,
            vectors=(vector,),
            precisions={"fp32": _write_model(folder, "fp32", source.to_fp32())},
            default_precision="fp32",
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            details=source.details,
        )
    )


def _add_int8(  # as `export_backbone`
    source: Network,
    folder: Path,
    fp32: EncoderManifest,
    calibration: Iterable[Pixels] | None,
    check: Iterable[Pixels] | None,
    bound: float,
    report: Progress,
) -> EncoderManifest:
    """With ranges that are known beforehand if the caller leaves the choice, else with those of images."""
    found = fp32
    steps = fp32.preprocess
    if (calibration is None or check is not None) and steps == source.preprocess:
        images = [_as_input(image, steps) for image in check or ()]
        found = _export_known_int8(source, folder, fp32, images, bound, report)
    if calibration is not None and "int8" not in found.precisions:
        return _export_int8(source, folder, fp32, _calibration_inputs(calibration, steps), bound, report)
    return found


def _export_int8(
    source: Network,
    folder: Path,
    fp32: EncoderManifest,
    pictures: Sequence[Pixels],
    bound: float,
    report: Progress,
) -> EncoderManifest:
    held_out = pictures[::HELD_OUT_EVERY]
    seen = [picture for number, picture in enumerate(pictures) if number % HELD_OUT_EVERY]
    report(f"quantising to int8 on {len(seen)} images")
    try:
        model, float_layers = source.to_int8(seen)
    except Incompatible as error:
        return _without_int8(fp32, folder, f"it cannot be made: {error}", report)
    both = _with_int8(
        fp32,
        _write_model(folder, "int8", model),
        calibration_pictures=len(seen),
        held_out_pictures=len(held_out),
        float_layers=len(float_layers),
    )
    return _judged(both, fp32, folder, held_out, bound, report)


def _export_known_int8(  # as `_export_int8`
    source: Network,
    folder: Path,
    fp32: EncoderManifest,
    check: Sequence[Pixels],
    bound: float,
    report: Progress,
) -> EncoderManifest:
    try:
        known = source.known_int8()
    except Incompatible as error:
        return _without_int8(fp32, folder, f"it cannot be made: {error}", report)
    if known is None:
        return fp32
    report("quantising to int8")
    info = replace(_write_model(folder, "int8", known.model), mean_cosine_to_fp32=known.mean_cosine or 0.0)
    both = _with_int8(fp32, info, float_layers=known.float_layers)
    if len(check) >= MIN_CALIBRATION_PICTURES:
        judged = _judged(both, fp32, folder, check, bound, report)
        # A cosine that was measured beforehand stays, so that the manifest is the same for all images.
        return both if known.mean_cosine and "int8" in judged.precisions else judged
    if known.mean_cosine is None:
        return _without_int8(fp32, folder, f"{len(check)} images cannot tell whether it is accurate", report)
    return both


def _with_int8(fp32: EncoderManifest, info: PrecisionInfo, **details: Any) -> EncoderManifest:
    return _identified(
        replace(
            fp32,
            precisions={**fp32.precisions, "int8": info},
            default_precision="int8",
            details={**fp32.details, **details},
        )
    )


def _judged(  # as `_export_int8`
    both: EncoderManifest,
    fp32: EncoderManifest,
    folder: Path,
    held_out: Sequence[Pixels],
    bound: float,
    report: Progress,
) -> EncoderManifest:
    """`both` with the measured cosine, or `fp32` and why int8 was refused."""
    try:
        cosine = mean_cosine(both, folder, held_out)
    except Incompatible as error:
        return _without_int8(fp32, folder, f"it cannot be run: {error}", report)
    report(f"int8 keeps a mean cosine of {cosine:.4f} to fp32 on {len(held_out)} other images")
    if cosine >= bound:
        kept = replace(both.precisions["int8"], mean_cosine_to_fp32=round(cosine, 5))
        return replace(both, precisions={**fp32.precisions, "int8": kept})
    refusal = f"its mean cosine to fp32 is {cosine:.4f}, and {bound:.4f} or more is wanted"
    return _without_int8(fp32, folder, refusal, report, "More, and more typical, images may help")


def _without_int8(
    fp32: EncoderManifest, folder: Path, reason: str, report: Progress, advice: str = ""
) -> EncoderManifest:
    """The fp32 encoder, with the reason why it has no int8 file. A failed quantisation never fails the
    export."""
    report(f"int8 refused: {reason}; only fp32 is kept. {advice}".rstrip(". "))
    (folder / MODEL_FILES["int8"]).unlink(missing_ok=True)
    return replace(fp32, details={**fp32.details, REFUSAL: reason})


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


def _write_model(folder: Path, precision: Precision, model: bytes) -> PrecisionInfo:
    path = folder / MODEL_FILES[precision]
    path.write_bytes(model)
    return PrecisionInfo(path.name, file_sha256(path), len(model))


def _identified(manifest: EncoderManifest) -> EncoderManifest:
    return replace(manifest, id=content_id(manifest))


def _check_name(name: str | None) -> None:
    if name is not None and not NAME_RULE.fullmatch(name):
        raise InvalidInput(
            "this cannot be an encoder's name",
            got=repr(name),
            expected="1 to 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit",
        )


def _check_target(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict(
            "the encoder's folder is taken", got=target, fix="Name a new one: encoders are immutable."
        )


def _silent(_message: str) -> None:
    """Ignore progress."""
