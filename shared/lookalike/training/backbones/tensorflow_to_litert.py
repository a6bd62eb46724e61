"""TensorFlow function → LiteRT model, in float32 or with 8-bit weights and activations.

LiteRT's post-training quantisation (Jacob et al., https://arxiv.org/abs/1712.05877) gives each tensor 256
steps over the range that it had on real images. Rounding alone makes a layer err by 0.29 steps (the standard
deviation of a uniform error). A layer with a much larger error has weights or ranges that 8 bits cannot
represent, and degrades the layers after it. LiteRT's quantisation debugger
(https://ai.google.dev/edge/litert/models/quantization_debugger) finds such layers, and they stay in float32.
In EfficientNet-Lite0 these are the stem and convolutions of the first blocks: they cost no time, and keeping
them removes half of the error.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from lookalike.errors import Incompatible
from lookalike.types import Pixels

MAX_ERROR_STEPS = 0.45
MAX_FLOAT_LAYERS = 8
"""More would lose the speed of int8. The cosine to float32, measured afterwards, shows whether 8 bits were
enough."""
INSPECTED_IMAGES = 4


def to_fp32(function: Callable[[Any], Any], size: int) -> bytes:
    """The model in float32.

    Args:
        function: (1, size, size, 3) float32 in 0..255 → (1, dimension) float32. It must be kept alive.
        size: side of its input, in pixels.

    Raises:
        Incompatible: LiteRT has no operation for something in it.
    """
    return _convert(_converter(function, size))


def to_int8(function: Callable[[Any], Any], size: int, images: Sequence[Pixels]) -> tuple[bytes, list[str]]:
    """The model with 8-bit integers inside and float32 at its input and output, and its float32 layers.

    Args:
        function: as for `to_fp32`.
        size: as for `to_fp32`.
        images: inputs, (size, size, 3) uint8, on which the ranges are measured.

    Returns:
        The model file, and the names of the layers that stayed in float32.

    Raises:
        Incompatible: LiteRT cannot quantise the model, or cannot run it to inspect its layers.
    """
    converter = _converter(function, size)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _batches((_with_extremes(images[0]), *images))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    debug = tf.lite.experimental
    try:
        debugger: Any = _Debugger(
            converter=converter, debug_dataset=lambda: _batches(images[:INSPECTED_IMAGES])
        )
        debugger.run()
        layers = _sensitive_layers(debugger)
        if layers:
            debugger.options = debug.QuantizationDebugOptions(denylisted_nodes=layers)
        return bytes(debugger.get_nondebug_quantized_model()), layers
    # The converter throws its own and MLIR's errors, which share no base class.
    except Exception as error:
        raise Incompatible("LiteRT cannot express the model in int8", got=str(error)[:500]) from error


class _Debugger(tf.lite.experimental.QuantizationDebugger):  # type: ignore[misc]  # TensorFlow has no types
    """LiteRT's debugger on LiteRT's own kernels, without XNNPACK.

    XNNPACK refuses some models that the other kernels run, and may abort the process in doing so. It also
    chooses its kernels by processor, so the layers that stay in float32 would depend on the machine.
    """

    def _init_from_converter(self, *args: Any, **kwargs: Any) -> None:
        super()._init_from_converter(*args, **kwargs)
        self._quant_interpreter = tf.lite.Interpreter(
            model_content=self.quant_model,
            experimental_op_resolver_type=(
                tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            ),
        )


def _converter(function: Callable[[Any], Any], size: int) -> Any:
    spec = tf.TensorSpec((1, size, size, 3), tf.float32, name="pixels")
    concrete = tf.function(function, autograph=False).get_concrete_function(spec)
    # The converter freezes the variables of a concrete function. If it gets the model that owns them instead,
    # it writes a SavedModel first, which leaves the variables of a Keras model in the graph.
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], concrete)


def _convert(converter: Any) -> bytes:
    try:
        return bytes(converter.convert())
    except Exception as error:  # as above
        raise Incompatible("LiteRT cannot express the model in fp32", got=str(error)[:500]) from error


def _sensitive_layers(debugger: Any) -> list[str]:
    """Layers with an error above `MAX_ERROR_STEPS` of their own steps, worst first."""
    table = io.StringIO()
    debugger.layer_statistics_dump(table)
    table.seek(0)
    errors = {}
    for row in csv.DictReader(table):
        step = float(row["scale"])
        errors[row["tensor_name"]] = math.sqrt(float(row["mean_squared_error"])) / step if step else 0.0
    worst = sorted(errors, key=lambda name: -errors[name])
    return [name for name in worst[:MAX_FLOAT_LAYERS] if errors[name] > MAX_ERROR_STEPS]


def _batches(images: Sequence[Pixels]) -> Iterator[list[np.ndarray[Any, Any]]]:
    for image in images:
        yield [image[np.newaxis].astype(np.float32)]


def _with_extremes(image: Pixels) -> Pixels:
    """A copy with a black and a white pixel, so that the input's 256 steps are those of the pixels."""
    extreme = image.copy()
    extreme[0, 0], extreme[0, 1] = 0, 255
    return extreme
