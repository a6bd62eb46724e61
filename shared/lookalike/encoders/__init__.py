"""Encoders at serving time: manifest, LiteRT runtime and registry. Without TensorFlow."""

from lookalike.encoders.manifest import EncoderManifest, PrecisionInfo, VectorSpec
from lookalike.encoders.registry import Encoders
from lookalike.encoders.runtime import Encoder

__all__ = ["Encoder", "EncoderManifest", "Encoders", "PrecisionInfo", "VectorSpec"]
