"""Where a training keeps its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lookalike.training.options import TrainingOptions
    from lookalike.training.sources.dataset import Dataset

CACHE_FOLDER = "training"


@dataclass(frozen=True, slots=True)
class TrainingFolders:
    """Where a training keeps its files.

    Attributes:
        source: unpacked zip files and downloaded images.
        features: image features, which all trainings share.
        run: the run folder of a data set, from which a killed training resumes.
        dataset: a file that keeps the data set, so that a resumed training learns from the same; or None.
        page: where to write the report; None: nowhere.
    """

    source: Path
    features: Path
    run: Callable[[Dataset], Path]
    dataset: Path | None = None
    page: Path | None = None

    @classmethod
    def in_cache(cls, cache: Path, options: TrainingOptions, page: Path | None = None) -> TrainingFolders:
        """The folders of a training that has no record: below the cache, named by its source and options."""
        folder = cache / CACHE_FOLDER
        return cls(
            source=folder / "sources",
            features=folder / "features",
            run=lambda dataset: folder / "runs" / dataset.fingerprint(options.to_json()),
            page=page,
        )
