"""Backbone → encoder folder: `encoder.json`, `encoder.tflite` and, if it can be made, `encoder.int8.tflite`.

`int8_export` makes the int8 file, and decides whether it is kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lookalike.encoders.manifest import (
    MANIFEST_FILE,
    NAME_RULE,
    EncoderManifest,
    VectorSpec,
)
from lookalike.errors import Conflict, InvalidInput
from lookalike.images import Preprocess
from lookalike.training.backbones.int8_check import MIN_MEAN_COSINE
from lookalike.training.backbones.int8_export import REFUSAL, Int8Export, Progress, identified, write_model
from lookalike.training.backbones.network import Network
from lookalike.training.backbones.packaged import PackagedNetwork
from lookalike.training.backbones.presets import PACKAGED
from lookalike.types import Pixels


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
        check: images like those that will be encoded, to check those ranges on. Fewer than 10 are too few for
            a check, and are ignored. With `calibration` too, its images are used if those ranges are not good
            enough.
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
            report(f"int8 rejected: {manifest.details[REFUSAL]}; only fp32 is kept")
        else:
            manifest = Int8Export(source, folder, manifest, bound, report).add(calibration, check)
        if require_int8:
            manifest.precision("int8")
        (folder / MANIFEST_FILE).write_bytes(manifest.dump())
        folder.replace(target)
    return manifest


def _export_fp32(
    source: Network, folder: Path, name: str, preprocess: Preprocess, vector: VectorSpec, report: Progress
) -> EncoderManifest:
    report("converting to LiteRT fp32")
    return identified(
        EncoderManifest(
            id="",
            name=name,
            backbone=source.source,
            preprocess=preprocess,
            vectors=(vector,),
            precisions={"fp32": write_model(folder, "fp32", source.to_fp32())},
            default_precision="fp32",
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            details=source.details,
        )
    )


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
