"""Bytes → checked sRGB image → model input. The only preprocessing in the project.

For any bytes, `decode` raises only `ImageRejected` and its subclasses. Sizes are checked in the header before
a decoder runs. Decoders get only the parts of a file that carry pixels, so that metadata cannot cost memory
or time (`lookalike.images.formats`).
"""

from lookalike.images.decode import decode
from lookalike.images.decoded import DecodedImage
from lookalike.images.perceptual import HASH_BYTES, perceptual_hash
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
from lookalike.images.size_limits import ImageLimits
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
