"""Encoders as they serve: the manifest, the LiteRT runtime, the registry. No TensorFlow here."""

from lookalike.encoders.manifest import EncoderManifest, PrecisionInfo, VectorSpec
from lookalike.encoders.registry import Encoders
from lookalike.encoders.runtime import Encoder

__all__ = ["Encoder", "EncoderManifest", "Encoders", "PrecisionInfo", "VectorSpec"]
