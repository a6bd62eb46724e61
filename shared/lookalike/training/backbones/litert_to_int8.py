"""LiteRT model in float32 → LiteRT model with 8-bit weights and activations, without TensorFlow.

Post-training quantisation (Jacob et al., https://arxiv.org/abs/1712.05877) by `ai-edge-quantizer`
(https://github.com/google-ai-edge/ai-edge-quantizer). The same model, ranges and float layers give the same
bytes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
from ai_edge_litert.tools.flatbuffer_utils import read_model_from_bytearray
from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe
from ai_edge_quantizer.utils import qsv_utils

from lookalike.errors import Incompatible
from lookalike.training.backbones.litert_graph import SIGNATURE, AlignedBuffer, pack
from lookalike.types import Pixels

Ranges = Mapping[str, tuple[float, float]]
"""Layer → the least and the greatest value of its output."""


def measure_ranges(model: bytes, input_name: str, images: Sequence[Pixels]) -> Ranges:
    """The range of every layer over `images`.

    Args:
        model: a float32 model with the signature `SIGNATURE`.
        input_name: of its input.
        images: (size, size, 3) uint8 each.
    """
    with _quiet():
        work = calibrator.Calibrator(
            model,
            num_threads=1,
            mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
            qsv_update_func=qsv_utils.min_max_update,
        )
        # Only the names of layers are taken from the quantizer; its recipe decides what is measured.
        recipes = quantizer.Quantizer(model, recipe.static_wi8_ai8())._recipe_manager
        work.calibrate({SIGNATURE: _Batches(input_name, images)}, recipes)
    measured = work.get_model_qsvs()
    return {name: (float(np.min(at["min"])), float(np.max(at["max"]))) for name, at in measured.items() if at}


def to_int8(model: bytes, ranges: Ranges, float_layers: Sequence[str]) -> bytes:
    """The model in 8-bit integers, with float32 at its input and output.

    Args:
        model: as for `measure_ranges`.
        ranges: of its layers.
        float_layers: those that stay in float32.

    Raises:
        Incompatible: the quantizer cannot express the model in int8.
    """
    work = quantizer.Quantizer(model, recipe.static_wi8_ai8())
    operations = qtyping.TFLOperationName
    # An integer input would let pixels above 127 wrap around silently.
    for end in (operations.INPUT, operations.OUTPUT):
        work.update_quantization_recipe(".*", end, algorithm_key="no_quantize")
    for layer in float_layers:  # later rules win
        work.update_quantization_recipe(
            f"^{re.escape(layer)};?$", operations.ALL_SUPPORTED, algorithm_key="no_quantize"
        )
    statistics = {
        name: {"min": np.array([low]), "max": np.array([high])} for name, (low, high) in ranges.items()
    }
    try:
        with _quiet():
            result = work.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    except (ValueError, RuntimeError, NotImplementedError, KeyError) as error:
        raise Incompatible("the model cannot be expressed in int8", got=str(error)[:500]) from error
    return _aligned(bytes(result.quantized_model))


class _Batches:
    """One image at a time. The calibrator iterates twice, so a generator would arrive empty."""

    def __init__(self, name: str, images: Sequence[Pixels]) -> None:
        self._name = name
        self._images = images

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for image in self._images:
            yield {self._name: image[np.newaxis].astype(np.float32)}


def _aligned(model: bytes) -> bytes:
    graph = read_model_from_bytearray(bytearray(model))  # also constants that lie after the FlatBuffer
    # As arrays: anything else is packed byte by byte, in seconds.
    arrays = [None if part.data is None else np.asarray(part.data, np.uint8) for part in graph.buffers]
    graph.buffers = [AlignedBuffer(data=array) for array in arrays]
    return pack(graph)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bars, which it shows on any output, and its warnings about memory."""
    with warnings.catch_warnings(), redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        yield
