"""Backbones by name: their TF-Hub handles, input sizes and pixel ranges. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_BACKBONE = "efficientnet-lite0"
PACKAGED = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
"""Their weights come with `lookalike[train]`; no download is needed."""

TF_HUB = "https://tfhub.dev/google"
UNIT_RANGE = (0.0, 1.0)
"""What TF-Hub's image modules take (https://www.tensorflow.org/hub/common_signatures/images)."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A named backbone.

    Attributes:
        handle: what `hub.load` takes.
        size: side of its square input, in pixels.
        dimension: of its feature vector.
        pixel_range: values of a black and of a white pixel.
        trained_on: the data set.
    """

    handle: str
    size: int
    dimension: int
    pixel_range: tuple[float, float] = UNIT_RANGE
    trained_on: str = "ImageNet-1k"


def _imagenet(model: str, size: int, dimension: int) -> Preset:
    return Preset(f"{TF_HUB}/imagenet/{model}/feature_vector/5", size, dimension)


def _bit(model: str, dimension: int) -> Preset:
    # Big Transfer (https://arxiv.org/abs/1912.11370). Fully convolutional: 224 px is its pre-training size.
    return Preset(f"{TF_HUB}/bit/{model}/1", 224, dimension, trained_on="ImageNet-21k")


def _efficientnet_v2(variant: str, size: int) -> Preset:
    # EfficientNetV2 (https://arxiv.org/abs/2104.00298), not fine-tuned to the 1k classes.
    handle = f"{TF_HUB}/imagenet/efficientnet_v2_imagenet21k_{variant}/feature_vector/2"
    return Preset(handle, size, 1280, trained_on="ImageNet-21k")


PRESETS: Mapping[str, Preset] = {
    "mobilenet_v2_140_224": _imagenet("mobilenet_v2_140_224", 224, 1792),
    "inception_v2": _imagenet("inception_v2", 224, 1024),
    "resnet_v2_101": _imagenet("resnet_v2_101", 224, 2048),
    "nasnet_mobile": _imagenet("nasnet_mobile", 224, 1056),
    "bit_m_r50x1": _bit("m-r50x1", 2048),
    "bit_m_r50x3": _bit("m-r50x3", 6144),
    "bit_m_r101x1": _bit("m-r101x1", 2048),
    "efficientnetv2_b0_21k": _efficientnet_v2("b0", 224),
    "efficientnetv2_b1_21k": _efficientnet_v2("b1", 240),
    "efficientnetv2_b2_21k": _efficientnet_v2("b2", 260),
    "efficientnetv2_b3_21k": _efficientnet_v2("b3", 300),
    "efficientnetv2_s_21k": _efficientnet_v2("s", 384),
    "efficientnetv2_m_21k": _efficientnet_v2("m", 480),
    "efficientnetv2_l_21k": _efficientnet_v2("l", 480),
    "efficientnetv2_xl_21k": _efficientnet_v2("xl", 512),
}
