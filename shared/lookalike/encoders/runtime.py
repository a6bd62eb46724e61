"""Pixels → vectors with LiteRT (https://ai.google.dev/edge/litert), the only model code at serving time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.encoders.manifest import EncoderManifest
from lookalike.errors import Incompatible, InvalidInput
from lookalike.types import Pixels, Precision, Vector, Vectors

SMALLEST_LENGTH = 1e-12

_first_open = threading.Lock()
_announced = False


class Encoder:
    """One model file, ready to run. Thread-safe.

    An interpreter runs one call at a time, and LiteRT releases the GIL while it computes. Concurrent calls
    each get an interpreter, up to `parallel`; further ones wait. All interpreters map the same file and are
    opened on first use.
    """

    def __init__(
        self,
        manifest: EncoderManifest,
        model_path: Path,
        precision: Precision | None = None,
        *,
        threads: int = 1,
        parallel: int | None = None,
    ) -> None:
        """Open the model file.

        Args:
            manifest: what the file must agree with.
            model_path: the `.tflite` file.
            precision: which of the manifest's files it is; None is the manifest's default.
            threads: threads within one call (latency of one image).
            parallel: parallel calls (throughput); None is the number of CPUs.

        Raises:
            Incompatible: the file is absent, or its size or shapes differ from the manifest.
        """
        self.manifest = manifest
        self.precision: Precision = precision or manifest.default_precision
        self._path = model_path
        self._threads = threads
        self._check_size()
        self._idle: list[_Interpreter] = [self._open()]
        self._turns = threading.BoundedSemaphore(parallel or os.cpu_count() or 1)

    def __repr__(self) -> str:
        return f"Encoder({self.manifest.id}, {self.precision})"

    def encode(self, images: Sequence[Pixels] | NDArray[np.uint8]) -> Vectors:
        """Vectors of many images.

        Args:
            images: n images as `images.model_input` makes them: (size, size, 3), uint8, sRGB.

        Returns:
            (n, dimension), float32, each row of unit length (unless the manifest says `normalized: false`).

        Raises:
            InvalidInput: an image has another shape or dtype.
        """
        vectors = np.empty((len(images), self.manifest.dimension), np.float32)
        with self._interpreter() as interpreter:
            for row, image in enumerate(images):
                self._check_image(image)
                vectors[row] = interpreter.run(image)
        return unit_length(vectors) if self.manifest.vector("image").normalized else vectors

    def encode_one(self, image: Pixels) -> Vector:
        """The vector of one image: (dimension,), float32. See `encode`."""
        vector: Vector = self.encode([image])[0]
        return vector

    @contextmanager
    def _interpreter(self) -> Iterator[_Interpreter]:
        with self._turns:
            try:
                interpreter = self._idle.pop()
            except IndexError:
                interpreter = self._open()
            try:
                yield interpreter
            finally:
                self._idle.append(interpreter)  # reuse the last one first: its memory is warm

    def _open(self) -> _Interpreter:
        size = self.manifest.preprocess.size
        return _Interpreter(self._path, self._threads, (size, size, 3), self.manifest.dimension)

    def _check_size(self) -> None:
        """A cheap check at load time; the hash was checked when the file was added or downloaded."""
        expected = self.manifest.precision(self.precision).size_bytes
        got = self._path.stat().st_size if self._path.is_file() else None
        if got != expected:
            raise Incompatible(
                f"the model file of encoder {self.manifest.id} does not match its manifest",
                got=f"{self._path} of {got} bytes" if got is not None else f"no file {self._path}",
                expected=f"{expected} bytes",
                fix="Add the encoder again.",
            )

    def _check_image(self, image: Pixels) -> None:
        size = self.manifest.preprocess.size
        if image.shape != (size, size, 3) or image.dtype != np.uint8:
            raise InvalidInput(
                f"encoder {self.manifest.id} does not accept this image",
                got=f"{image.dtype} {image.shape}",
                expected=f"uint8 ({size}, {size}, 3)",
                fix="Prepare it with lookalike.images.model_input.",
            )


class _Interpreter:
    """One LiteRT interpreter with its tensors looked up once."""

    def __init__(self, path: Path, threads: int, image_shape: tuple[int, ...], dimension: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            with _unannounced():
                # By path, not content: the weights are mapped, so interpreters and processes share them.
                self._interpreter: Any = Interpreter(model_path=str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise Incompatible(f"LiteRT cannot run {path}: {str(error)[:300]}") from error
        source = self._interpreter.get_input_details()[0]
        result = self._interpreter.get_output_details()[0]
        shapes = tuple(tuple(tensor["shape"][1:].tolist()) for tensor in (source, result))
        if shapes != (image_shape, (dimension,)):
            raise Incompatible(
                f"{path} does not fit its manifest",
                got=f"input {shapes[0]} and output {shapes[1]}",
                expected=f"input {image_shape} and output {(dimension,)}",
            )
        self._source: int = source["index"]
        self._dtype = source["dtype"]
        self._result: int = result["index"]

    def run(self, image: Pixels) -> Vector:
        self._interpreter.set_tensor(self._source, image[np.newaxis].astype(self._dtype, copy=False))
        self._interpreter.invoke()
        vector: Vector = self._interpreter.get_tensor(self._result)[0]
        return vector


@contextmanager
def _unannounced() -> Iterator[None]:
    """Suppress LiteRT's message about its first interpreter, for which it has no option.

    C++ code writes it once per process to file descriptor 2, so that is redirected once. Real failures are
    Python exceptions and are not affected.
    """
    global _announced  # noqa: PLW0603  # once in a process is what it is about
    if _announced:
        yield
        return
    with _first_open:
        try:
            terminal = os.dup(2)
        except OSError:  # descriptor 2 is closed: nothing to suppress
            yield
            return
        try:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
            _announced = True
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def unit_length(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1 (L2), in float32; a row of zeros stays so.

    Not part of the model, because a quantised square root would cost more than it saves.
    """
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Vectors = vectors / np.maximum(lengths, SMALLEST_LENGTH)
    return scaled
