"""Extract features of images' views with the frozen backbone, through the cache.

The backbone runs on LiteRT, which is three times as fast as TensorFlow on a CPU, with one image at a time per
core. Each image is decoded once for all its views.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from lookalike.errors import ImageRejected, Incompatible
from lookalike.images import ImageLimits, decode, perceptual_hash
from lookalike.images.perceptual import HASH_BYTES
from lookalike.training.backbones.load import Backbone
from lookalike.training.fit import views
from lookalike.training.fit.feature_cache import ActivationCache, Kind, PictureFacts, Values
from lookalike.types import Pixels

BATCH = 32
"""Images stored per batch; a kill loses at most one batch."""

Step = Callable[[int, int], None]
"""Called with the numbers of images done and of all images; it may raise to stop."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """Facts about images after extraction, in their order.

    Attributes:
        digests: content hash of each file.
        hashes: (n, 32) uint8 perceptual hashes; zeros where an image is too plain to have one.
        rejected: by position, why an image cannot be used.
        computed: number of views that the backbone computed now; the others were in the cache.
    """

    digests: list[bytes]
    hashes: NDArray[np.uint8]
    rejected: dict[int, str]
    computed: int


class Extractor:
    """A backbone that extracts features and, optionally, the activations before its last stages.

    Args:
        backbone: the feature extractor.
        cache: the cache of that backbone; see `cache_folder`.
        activations: cache the activations too.
        threads: images processed in parallel.

    Raises:
        Incompatible: activations are requested from a backbone that cannot be split.
    """

    def __init__(
        self, backbone: Backbone, cache: ActivationCache, *, activations: bool, threads: int = 2
    ) -> None:
        if activations and backbone.taps is None:
            raise not_cuttable(backbone)
        self._backbone = backbone
        self._cache = cache
        self._kinds: tuple[Kind, ...] = ("activations", "features") if activations else ("features",)
        self._threads = threads
        self._model: bytes | None = None
        self._local = threading.local()

    def extract(self, files: Sequence[Path], count: int, limits: ImageLimits, step: Step) -> Extraction:
        """Compute the missing ones of `count` views of each image.

        Args:
            files: the images.
            count: views of each.
            limits: limits on an image's size; one that exceeds them is rejected.
            step: called with progress.

        Raises:
            StoreUnavailable: the cache cannot be written.
        """
        with ThreadPoolExecutor(self._threads, thread_name_prefix="features") as pool:
            digests = list(pool.map(_digest, files))
            known = self._cache.facts(digests)
            todo: dict[bytes, tuple[Path, list[int]]] = {}
            for file, digest in zip(files, digests, strict=True):
                if digest in known and known[digest].rejected:
                    continue
                absent = sorted({n for kind in self._kinds for n in self._cache.missing(digest, kind, count)})
                if absent or digest not in known:
                    todo[digest] = (file, absent)
            done, computed = len(files) - len(todo), 0
            step(done, len(files))
            if todo:
                self._convert()
            for batch in _batches(list(todo.items())):
                results = list(
                    pool.map(lambda each: self._look(each[1][0], each[0], each[1][1], limits), batch)
                )
                facts = {digest: fact for (digest, _), (fact, _) in zip(batch, results, strict=True)}
                values = {key: value for _, found in results for key, value in found.items()}
                self._cache.put(facts, values)
                known |= facts
                done += len(batch)
                computed += len(values) // len(self._kinds)
                step(done, len(files))
        return _extraction(digests, known, computed)

    def _convert(self) -> None:
        if self._model is None:
            self._model = self._backbone.to_fp32(tap="activations" in self._kinds)

    def _look(
        self, file: Path, digest: bytes, numbers: Sequence[int], limits: ImageLimits
    ) -> tuple[PictureFacts, dict[tuple[Kind, bytes, int], NDArray[Any]]]:
        preprocess = self._backbone.preprocess
        try:
            picture = decode(file.read_bytes(), limits, min_side=preprocess.min_side)
        except (ImageRejected, OSError) as error:
            return PictureFacts(rejected=str(error)), {}
        values: dict[tuple[Kind, bytes, int], NDArray[Any]] = {}
        for number in numbers:
            pixels = views.view(picture, preprocess, number, digest)
            for kind, value in self._run(pixels).items():
                values[kind, digest, number] = value
        return PictureFacts(perceptual_hash(picture)), values

    def _run(self, pixels: Pixels) -> dict[Kind, NDArray[np.float32]]:
        interpreter = getattr(self._local, "interpreter", None)
        if interpreter is None:
            interpreter = Interpreter(model_content=self._model, num_threads=1)
            interpreter.allocate_tensors()
            self._local.interpreter = interpreter
        source = interpreter.get_input_details()[0]
        interpreter.set_tensor(source["index"], pixels[np.newaxis].astype(np.float32))
        interpreter.invoke()
        results = sorted(interpreter.get_output_details(), key=lambda result: -len(result["shape"]))
        return {
            kind: interpreter.get_tensor(result["index"])[0]
            for kind, result in zip(self._kinds, results, strict=True)
        }


def not_cuttable(backbone: Backbone) -> Incompatible:
    """The error for a backbone that cannot be trained itself, only layers on top of it."""
    return Incompatible(
        "this backbone cannot be trained itself, only a layer on top of it",
        got=backbone.name,
        expected="efficientnet-lite0, efficientnet-lite1 or efficientnet-lite2",
        fix="Leave out --last-stages and --whole-network.",
    )


def cache_folder(root: Path, backbone: Backbone) -> Path:
    """The cache folder of one backbone, named by everything that determines its values."""
    return root / f"{backbone.name}-{backbone.digest}-{backbone.preprocess.version}.{views.VERSION}"


def read_features(cache: ActivationCache, digests: Sequence[bytes], count: int, dimension: int) -> Values:
    """Features of the first `count` views: (n, count, dimension) float16."""
    wanted = [(digest, number) for digest in digests for number in range(count)]
    return cache.read("features", wanted, (dimension,)).reshape(len(digests), count, dimension)


def _digest(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").digest()
    except OSError:  # checked again, and rejected with its reason, when it is decoded
        return hashlib.sha256(f"unreadable\0{file}".encode()).digest()


def _batches(
    todo: list[tuple[bytes, tuple[Path, list[int]]]],
) -> Iterator[list[tuple[bytes, tuple[Path, list[int]]]]]:
    for start in range(0, len(todo), BATCH):
        yield todo[start : start + BATCH]


def _extraction(digests: list[bytes], known: dict[bytes, PictureFacts], computed: int) -> Extraction:
    hashes = np.zeros((len(digests), HASH_BYTES), np.uint8)
    rejected = {}
    for row, digest in enumerate(digests):
        facts = known[digest]
        if facts.perceptual_hash:
            hashes[row] = np.frombuffer(facts.perceptual_hash, np.uint8)
        if facts.rejected:
            rejected[row] = facts.rejected
    return Extraction(digests, hashes, rejected, computed)
