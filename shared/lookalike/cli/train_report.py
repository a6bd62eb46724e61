"""The report of a training: the new encoder beside what it would replace, on pictures held back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.console import Console
    from lookalike.encoders import EncoderManifest
    from lookalike.evaluation import BlendPoint
    from lookalike.library import Library
    from lookalike.training.child import TrainingResult
    from lookalike.training.sources.dataset import Dataset


def write_report(
    library: Library,
    dataset: Dataset,
    result: TrainingResult,
    manifest: EncoderManifest,
    collection: str | None,
    path: Path,
    console: Console,
) -> None:
    """Encode the pictures of a training, judge, and write an HTML page.

    Args:
        library: the store that has the encoder.
        dataset: what was trained on.
        result: of the training.
        manifest: of the encoder.
        collection: its encoder is judged on the same pictures; None: the store's default one, if any.
        path: of the page.
        console: where progress is shown.
    """
    import numpy as np

    from lookalike.cli.compare import LabelledPicture, encode, save
    from lookalike.evaluation import QuerySplit, evaluate

    pictures = [LabelledPicture(e.id, e.path.read_bytes, e.label, e.split) for e in dataset.examples]
    ids = [*_before(library, manifest, collection), manifest.id]
    encoded = encode(library.encoders, ids, pictures, None, console)
    held = set(result.split["validation"])
    asks = np.array([picture.id in held for picture in encoded.pictures], bool)
    judged = evaluate(
        encoded.candidates,
        [picture.id for picture in encoded.pictures],
        [picture.label for picture in encoded.pictures],
        QuerySplit.held_out(asks, "queries are those that the training held back"),
        title=f"What training gave: {manifest.id}",
        layout=True,
        progress=console.note,
    )
    blend = _trades(result.document["blend"])
    save(replace(judged, blend=blend, notes=tuple(result.document["notes"])), path, encoded.pictures, console)


def _before(library: Library, manifest: EncoderManifest, collection: str | None) -> Sequence[str]:
    """The encoder that the new one is compared with."""
    from lookalike.encoders.registry import DEFAULT_ENCODER

    if collection is not None:
        return [library.collections.get(collection).encoder_id]
    known = [one for one in library.encoders.list() if one.name == DEFAULT_ENCODER]
    newest = max(known, key=lambda one: one.created_at, default=manifest)
    return [newest.id] if newest.id != manifest.id else []


def _trades(blend: Mapping[str, Any]) -> tuple[BlendPoint, ...]:
    """What other shares of trained features would have given."""
    from lookalike.evaluation import BlendPoint

    lines = blend["trades"]
    nearest = min(lines, key=lambda line: abs(line["share"] - blend["share"]), default=None)
    names = {"recall_at_1": "recall@1", "map_at_r": "mAP@R", "detail": "detail"}
    return tuple(
        BlendPoint(line["share"], {title: line[name] for name, title in names.items()}, line is nearest)
        for line in lines
    )
