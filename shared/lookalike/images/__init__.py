"""Bytes → checked sRGB image → model input. The only preprocessing in the project.

Whatever the bytes are, only `ImageRejected` and its kinds leave `decode`. Sizes are judged from the header,
before a decoder runs; and decoders see only the parts of a file that carry pixels, so that metadata cannot
cost memory or time either (`lookalike.images.formats`).
"""

from lookalike.images.decode import decode
from lookalike.images.limits import ImageLimits
from lookalike.images.perceptual import HASH_BYTES, perceptual_hash
from lookalike.images.picture import DecodedImage
from lookalike.images.preprocess import (
    FITS,
    INTERPOLATIONS,
    Fit,
    Interpolation,
    Preprocess,
    model_input,
    read_image,
    resample,
)
from lookalike.images.sniff import FORMATS

__all__ = [
    "FITS",
    "FORMATS",
    "HASH_BYTES",
    "INTERPOLATIONS",
    "DecodedImage",
    "Fit",
    "ImageLimits",
    "Interpolation",
    "Preprocess",
    "decode",
    "model_input",
    "perceptual_hash",
    "read_image",
    "resample",
]
