"""Writes a convolutional network as a LiteRT file, without TensorFlow.

The file format is the FlatBuffers schema that `ai-edge-litert` ships as Python objects
(https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs). The same calls give
the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

FILE_IDENTIFIER = b"TFL3"
FORMAT_VERSION = 3
SIGNATURE = "serving_default"
ALIGNMENT = 16
"""Of constants in the file, in bytes. LiteRT maps the file and reads them in place."""

Array = NDArray[Any]


class AlignedBuffer(schema.BufferT):  # type: ignore[misc]  # generated, without types
    """Constants that start at a multiple of `ALIGNMENT`.

    The schema requires this (`force_align`), but the Python code generated from it does not do it.
    """

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802  # called by the generated code
        """Write the table; returns its offset."""
        if self.data is not None and len(self.data):
            builder.Prep(ALIGNMENT, len(self.data))
        return int(super().Pack(builder))


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the graph: its number, its name, and its shape with the batch of one image."""

    number: int
    name: str
    shape: tuple[int, ...]


class LiteRTGraph:
    """A graph of one input under construction. All tensors are float32.

    Args:
        input_name: of the input.
        input_shape: (1, height, width, channels).
    """

    def __init__(self, input_name: str, input_shape: tuple[int, ...]) -> None:
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [AlignedBuffer()]  # the first one is empty, by the format's rule
        self._operators: list[Any] = []
        self._codes: dict[int, int] = {}
        self.input = self._tensor(input_name, input_shape)

    def convolution(  # each is one property of the operation
        self, name: str, source: Tensor, kernel: Array, bias: Array, *, stride: int = 1, relu6: bool = False
    ) -> Tensor:
        """A convolution with `SAME` padding. `kernel` is (out, height, width, in), `bias` is (out,)."""
        options = schema.Conv2DOptionsT(
            padding=schema.Padding.SAME,
            strideW=stride,
            strideH=stride,
            dilationWFactor=1,
            dilationHFactor=1,
            fusedActivationFunction=_activation(relu6),
        )
        inputs = (source, self._constant(f"{name}/kernel", kernel), self._constant(f"{name}/bias", bias))
        shape = _same(source.shape, stride, len(bias))
        return self._apply("CONV_2D", "Conv2DOptions", options, inputs, name, shape)

    def depthwise_convolution(  # as above
        self, name: str, source: Tensor, kernel: Array, bias: Array, *, stride: int = 1, relu6: bool = False
    ) -> Tensor:
        """One filter a channel, `SAME` padding. `kernel` is (1, height, width, channels)."""
        options = schema.DepthwiseConv2DOptionsT(
            padding=schema.Padding.SAME,
            strideW=stride,
            strideH=stride,
            depthMultiplier=1,
            dilationWFactor=1,
            dilationHFactor=1,
            fusedActivationFunction=_activation(relu6),
        )
        inputs = (source, self._constant(f"{name}/kernel", kernel), self._constant(f"{name}/bias", bias))
        shape = _same(source.shape, stride, len(bias))
        return self._apply("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", options, inputs, name, shape)

    def sum(self, name: str, first: Tensor, second: Tensor | Array) -> Tensor:
        """The sum of two tensors of one shape, or of a tensor and a row of constants."""
        inputs = (first, self._as_tensor(name, second))
        return self._apply("ADD", "AddOptions", schema.AddOptionsT(), inputs, name, first.shape)

    def product(self, name: str, first: Tensor, second: Array) -> Tensor:
        """A tensor times a row of constants, or one constant."""
        inputs = (first, self._as_tensor(name, second))
        return self._apply("MUL", "MulOptions", schema.MulOptionsT(), inputs, name, first.shape)

    def fully_connected(
        self, name: str, source: Tensor, kernel: Array, bias: Array, *, relu: bool = False
    ) -> Tensor:
        """A matrix product. `kernel` is (out, in), `bias` is (out,)."""
        kinds = schema.ActivationFunctionType
        options = schema.FullyConnectedOptionsT(
            fusedActivationFunction=kinds.RELU if relu else kinds.NONE, keepNumDims=False
        )
        inputs = (source, self._constant(f"{name}/kernel", kernel), self._constant(f"{name}/bias", bias))
        shape = (source.shape[0], len(bias))
        return self._apply("FULLY_CONNECTED", "FullyConnectedOptions", options, inputs, name, shape)

    def unit_length(self, name: str, source: Tensor) -> Tensor:
        """Rows scaled to length 1."""
        options = schema.L2NormOptionsT()
        return self._apply("L2_NORMALIZATION", "L2NormOptions", options, (source,), name, source.shape)

    def concatenation(self, name: str, parts: Sequence[Tensor]) -> Tensor:
        """Concatenate along the last axis."""
        shape = (parts[0].shape[0], sum(part.shape[1] for part in parts))
        options = schema.ConcatenationOptionsT(axis=1)
        return self._apply("CONCATENATION", "ConcatenationOptions", options, parts, name, shape)

    def spatial_mean(self, name: str, source: Tensor) -> Tensor:
        """The mean over height and width: (1, channels)."""
        axes = self._constant(f"{name}/axes", np.array([1, 2], np.int32))
        shape = (source.shape[0], source.shape[3])
        options = schema.ReducerOptionsT(keepDims=False)
        return self._apply("MEAN", "ReducerOptions", options, (source, axes), name, shape)

    def to_bytes(self, *outputs: Tensor) -> bytes:
        """The file, which returns `outputs` under the signature `SIGNATURE`."""
        graph = schema.SubGraphT(
            tensors=self._tensors,
            inputs=[self.input.number],
            outputs=[output.number for output in outputs],
            operators=self._operators,
            name="main",
        )
        signature = schema.SignatureDefT(
            inputs=[schema.TensorMapT(name=self.input.name, tensorIndex=self.input.number)],
            outputs=[schema.TensorMapT(name=output.name, tensorIndex=output.number) for output in outputs],
            signatureKey=SIGNATURE,
            subgraphIndex=0,
        )
        codes = [
            # Programs older than the longer enumeration read the first field; 127 sends them to the second.
            schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=1)
            for code in self._codes
        ]
        model = schema.ModelT(
            version=FORMAT_VERSION,
            operatorCodes=codes,
            subgraphs=[graph],
            description="lookalike",
            buffers=self._buffers,
            signatureDefs=[signature],
        )
        return pack(model)

    def _tensor(self, name: str, shape: Sequence[int], buffer: int = 0, kind: int = 0) -> Tensor:
        self._tensors.append(
            schema.TensorT(shape=list(shape), type=kind, buffer=buffer, name=name, hasRank=True)
        )
        return Tensor(len(self._tensors) - 1, name, tuple(shape))

    def _as_tensor(self, name: str, values: Tensor | Array) -> Tensor:
        return values if isinstance(values, Tensor) else self._constant(f"{name}/constant", values)

    def _constant(self, name: str, values: Array) -> Tensor:
        is_integer = values.dtype == np.int32
        kept = np.ascontiguousarray(values if is_integer else values.astype(np.float32))
        self._buffers.append(AlignedBuffer(data=kept.reshape(-1).view(np.uint8)))
        kind = schema.TensorType.INT32 if is_integer else schema.TensorType.FLOAT32
        return self._tensor(name, kept.shape, len(self._buffers) - 1, kind)

    def _apply(  # each is one field of the operator
        self,
        code: str,
        options_type: str,
        options: Any,
        inputs: Sequence[Tensor],
        name: str,
        shape: tuple[int, ...],
    ) -> Tensor:
        output = self._tensor(name, shape)
        number = self._codes.setdefault(getattr(schema.BuiltinOperator, code), len(self._codes))
        self._operators.append(
            schema.OperatorT(
                opcodeIndex=number,
                inputs=[tensor.number for tensor in inputs],
                outputs=[output.number],
                builtinOptionsType=getattr(schema.BuiltinOptions, options_type),
                builtinOptions=options,
            )
        )
        return output


def pack(model: Any) -> bytes:
    """The bytes of a `schema.ModelT` whose buffers are `AlignedBuffer`s."""
    builder = flatbuffers.Builder(1 << 24)
    builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def _activation(relu6: bool) -> int:
    kinds = schema.ActivationFunctionType
    return int(kinds.RELU6 if relu6 else kinds.NONE)


def _same(shape: tuple[int, ...], stride: int, channels: int) -> tuple[int, ...]:
    """Shape of the output of a convolution with `SAME` padding."""
    return (shape[0], -(-shape[1] // stride), -(-shape[2] // stride), channels)
