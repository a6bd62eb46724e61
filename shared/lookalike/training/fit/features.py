"""Pictures → what the frozen backbone gives for their views, by way of the cache.

The backbone runs on LiteRT, which is three times as fast as TensorFlow on a CPU, one picture at a time on
each core; every picture is decoded once for all its views.
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
from lookalike.training.backbones.quantise import to_fp32
from lookalike.training.fit import views
from lookalike.training.fit.cache import ActivationCache, Kind, PictureFacts, Values
from lookalike.types import Pixels

BATCH = 32
"""Pictures that are kept together; what a kill can cost."""

Step = Callable[[int, int], None]
"""Told how many pictures are done, of how many; it may raise to stop."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """What is known of pictures after extraction, in their order.

    Attributes:
        digests: content hash of each file.
        hashes: (n, 32) uint8 perceptual hashes; zeros where a picture is too plain to have one.
        rejected: by position, why a picture cannot be used.
        computed: how many views went through the backbone now; the others were in the cache.
    """

    digests: list[bytes]
    hashes: NDArray[np.uint8]
    rejected: dict[int, str]
    computed: int


class Extractor:
    """A backbone, ready to give features and, if wanted, the activations before its last stages.

    Args:
        backbone: of which.
        cache: of that backbone; see `cache_folder`.
        activations: keep these too.
        threads: pictures side by side.

    Raises:
        Incompatible: activations are wanted of a backbone that cannot be cut.
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
        """Make sure that `count` views of each picture are in the cache.

        Args:
            files: the pictures.
            count: views of each.
            limits: what a picture may be; one that exceeds them is rejected.
            step: told of progress.

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
            activations = "activations" in self._kinds
            function = self._backbone.taps if activations else self._backbone.features
            assert function is not None
            self._model = to_fp32(function, self._backbone.size)

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
    """The error for a backbone of which nothing but layers on top can be trained."""
    return Incompatible(
        "this backbone cannot be trained itself, only a layer on top of it",
        got=backbone.name,
        expected="efficientnet-lite0, efficientnet-lite1 or efficientnet-lite2",
        fix="Leave out --last-stages and --whole-network.",
    )


def cache_folder(root: Path, backbone: Backbone) -> Path:
    """Where the values of one backbone are kept: named by all that decides them."""
    return root / f"{backbone.name}-{backbone.digest}-{backbone.preprocess.version}.{views.VERSION}"


def read_features(cache: ActivationCache, digests: Sequence[bytes], count: int, dimension: int) -> Values:
    """Features of the first `count` views: (n, count, dimension) float16."""
    wanted = [(digest, number) for digest in digests for number in range(count)]
    return cache.read("features", wanted, (dimension,)).reshape(len(digests), count, dimension)


def _digest(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").digest()
    except OSError:  # looked at again, and rejected with its reason, when it is to be decoded
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
