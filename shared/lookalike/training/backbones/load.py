"""Pretrained feature extractors: the packaged networks, TF-Hub handles, SavedModel folders."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from lookalike.errors import BackboneNotFound, Incompatible
from lookalike.images import Preprocess
from lookalike.integrity import file_sha256
from lookalike.training.backbones.network import KnownInt8
from lookalike.training.backbones.packaged import PackagedNetwork
from lookalike.training.backbones.presets import PACKAGED, PRESETS, UNIT_RANGE
from lookalike.training.backbones.tensorflow_to_litert import to_fp32, to_int8
from lookalike.types import Pixels

FALLBACK_SIZE = 224
"""Input side for a model that accepts any."""
WHITE = 255.0
SIGNATURES = ("image_feature_vector", "default", "serving_default")
"""Tried in this order where the object is not callable. The first two are TF1 Hub's common names
(https://www.tensorflow.org/hub/common_signatures/images), the last is what Keras and TF2 export."""

TensorFunction = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A loaded feature extractor.

    Attributes:
        name: short, valid as an encoder's name.
        source: preset name, handle or folder, as passed to `load_backbone`.
        size: side of its square input, in pixels.
        dimension: of its feature vector.
        features: (n, size, size, 3) float32 RGB in 0..255 → (n, dimension) float32.
        digest: hexadecimal hash of everything that determines its features; the name of their cache.
        taps: pixels as above → (activations before the last stages, features); None if the backbone cannot be
            split.
        keep: the loaded object. Its functions hold their variables weakly, so it must outlive them.
        keras_model: builds the network in Keras, once, for fine-tuning; None if the backbone cannot be split.
        packaged: the same network, if it is a packaged one; it writes LiteRT models in a second.
    """

    name: str
    source: str
    size: int
    dimension: int
    features: TensorFunction
    keep: object
    digest: str
    taps: TensorFunction | None = None
    keras_model: Callable[[], keras.Model] | None = None
    packaged: PackagedNetwork | None = None

    @property
    def preprocess(self) -> Preprocess:
        """The project's default preprocessing, at this backbone's input size."""
        return Preprocess(size=self.size)

    @property
    def details(self) -> Mapping[str, Any]:
        """What writes its LiteRT models."""
        return {"tensorflow": tf.__version__}

    def to_fp32(self, *, tap: bool = False) -> bytes:
        """The LiteRT model in float32; with `tap`, that of `taps`.

        Raises Incompatible if LiteRT cannot express it.
        """
        if self.packaged is not None:
            return self.packaged.to_fp32(tap=tap)
        assert not tap, "only packaged networks can be split"
        return to_fp32(self.features, self.size)

    def to_int8(self, images: Sequence[Pixels]) -> tuple[bytes, Sequence[str]]:
        """The LiteRT model in int8, with the ranges of `images`, (size, size, 3) uint8; and its float layers.

        Raises Incompatible if LiteRT cannot express it.
        """
        return to_int8(self.features, self.size, images)

    def known_int8(self) -> KnownInt8 | None:
        """None: images are needed."""
        return None


def load_backbone(
    backbone: str, *, size: int | None = None, pixel_range: tuple[float, float] | None = None
) -> Backbone:
    """Load `backbone`.

    Args:
        backbone: `efficientnet-lite0|1|2`, a preset of `presets.PRESETS`, a TF-Hub handle, or a SavedModel
            folder.
        size: input side in pixels; None: the preset's, else the model's own, else 224. The packaged networks
            take any size.
        pixel_range: model input for a black and a white pixel; None: the preset's or the packaged network's,
            else (0, 1).

    Raises:
        BackboneNotFound: unknown name, no model in the folder, or the handle cannot be downloaded.
        Incompatible: the model does not return one vector per image.
    """
    if backbone in PACKAGED:
        return _packaged(backbone, size, pixel_range)
    preset = PRESETS.get(backbone)
    loaded = _hub_load(preset.handle if preset else backbone)
    function, own_size = _callable_of(loaded, backbone)
    side = size or (preset.size if preset else own_size) or FALLBACK_SIZE
    scaled = _normaliser(pixel_range or (preset.pixel_range if preset else UNIT_RANGE))

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, side, side, 3), tf.float32)])  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def features(pixels: Any) -> Any:
        return function(scaled(pixels))

    dimension = _checked_dimension(features, side, backbone)
    # A folder's path is meaningless on another machine.
    source = backbone if preset or "://" in backbone else f"SavedModel {Path(backbone).name}"
    digest = _digest(_content_of(preset.handle if preset else backbone), side, repr(pixel_range))
    return Backbone(_short_name(backbone), source, side, dimension, features, (loaded, function), digest)


def _packaged(name: str, size: int | None, pixel_range: tuple[float, float] | None) -> Backbone:
    network = PackagedNetwork.load(name, size=size, pixel_range=pixel_range)

    @cache  # most trainings need only the LiteRT model, and building this one takes 2 s
    def keras_model() -> keras.Model:
        from lookalike.training.backbones.efficientnet_lite_keras import build

        with tf.init_scope():  # the first call may come from a function that TensorFlow traces
            return build(network.variant, network.weights, tap=True)

    def taps(pixels: Any) -> Any:
        scaled = _normaliser(network.pixel_range)
        return keras_model()(scaled(pixels), training=False)

    def features(pixels: Any) -> Any:
        return taps(pixels)[1]

    weights = network.weights
    content = hashlib.sha256(b"".join(weights[part].tobytes() for part in sorted(weights))).hexdigest()
    digest = _digest(content, network.size, repr(network.pixel_range))
    return Backbone(
        name, name, network.size, network.dimension, features, keras_model, digest, taps, keras_model, network
    )


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def _content_of(backbone: str) -> str:
    """Hash of a SavedModel folder's files; a handle is returned as it is, because it names a version."""
    folder = Path(backbone)
    if not folder.is_dir():
        return backbone
    total = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{file.relative_to(folder).as_posix()}\0{file_sha256(file)}\n".encode())
    return total.hexdigest()


def _normaliser(pixel_range: tuple[float, float]) -> TensorFunction:
    """0..255 → `pixel_range`, linearly.

    A 1 × 1 depthwise convolution with a bias is one operation with exact 8-bit steps when quantised. A
    product and a sum are two operations; each of them rounds, and the first layer amplifies the error.
    """
    black, white = pixel_range
    kernel = tf.constant((white - black) / WHITE, tf.float32, (1, 1, 3, 1))
    bias = tf.constant(black, tf.float32, (3,))

    def scaled(pixels: Any) -> Any:
        return tf.nn.bias_add(tf.nn.depthwise_conv2d(pixels, kernel, (1, 1, 1, 1), "VALID"), bias)

    return scaled


def _hub_load(handle: str) -> Any:
    import tensorflow_hub as hub

    is_folder = "://" not in handle
    if is_folder and not Path(handle).is_dir():
        raise BackboneNotFound(
            "there is no such backbone",
            got=repr(handle),
            expected="a SavedModel folder, a TF-Hub handle (https://…), or a preset",
            fix=f"Presets: {', '.join((*PACKAGED, *PRESETS))}.",
        )
    try:
        return hub.load(handle)
    # Resolvers, archives and foreign SavedModels raise errors without a common base class.
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        if is_folder:
            raise BackboneNotFound(
                "this folder has no SavedModel that TensorFlow can load",
                got=f"{handle} ({reason})",
                expected="a folder with saved_model.pb and variables/",
            ) from error
        raise BackboneNotFound(
            "the backbone cannot be downloaded",
            got=f"{handle} ({reason})",
            fix="Download and unpack the model on a machine with access, and pass its folder instead.",
        ) from error


def _callable_of(loaded: Any, backbone: str) -> tuple[TensorFunction, int | None]:
    """The function that computes features, and the input side if the model fixes one."""
    if callable(loaded):
        return (lambda pixels: _one_tensor(_call(loaded, pixels), backbone)), _side_of_call(loaded)
    signatures: Mapping[str, Any] = getattr(loaded, "signatures", {})
    for name in SIGNATURES:
        if name in signatures:
            return _signature(signatures[name], f"{backbone} (signature {name!r})")
    raise Incompatible(
        f"{backbone} is not a feature extractor",
        got=f"no __call__, and the signatures {sorted(signatures) or 'none'}",
        expected=f"a TF2 SavedModel that can be called, or one of the signatures {', '.join(SIGNATURES)}",
    )


def _call(loaded: Any, pixels: Any) -> Any:
    """Call a reusable SavedModel in inference mode, whether or not it takes `training`."""
    specification = getattr(loaded.__call__, "function_spec", None)
    arguments = getattr(specification, "fullargspec", None)
    if arguments and "training" in (*arguments.args, *arguments.kwonlyargs):
        return loaded(pixels, training=False)
    return loaded(pixels)


def _signature(signature: Any, backbone: str) -> tuple[TensorFunction, int | None]:
    inputs = signature.structured_input_signature[1]
    if len(inputs) != 1:
        raise Incompatible(
            f"{backbone} does not accept one image", got=f"inputs {sorted(inputs)}", expected="one input"
        )
    ((argument, spec),) = inputs.items()
    return (
        lambda pixels: _one_tensor(signature(**{argument: pixels}), backbone),
        _square_side(spec),
    )


def _side_of_call(loaded: Any) -> int | None:
    for concrete in getattr(loaded.__call__, "concrete_functions", ()):
        for spec in tf.nest.flatten(concrete.structured_input_signature):
            if isinstance(spec, tf.TensorSpec) and (side := _square_side(spec)):
                return side
    return None


def _square_side(spec: Any) -> int | None:
    shape = spec.shape
    return int(shape[1]) if shape.rank == 4 and shape[1] is not None and shape[1] == shape[2] else None


def _one_tensor(result: Any, backbone: str) -> Any:
    """The feature tensor among a model's outputs."""
    if not isinstance(result, Mapping):
        return result
    if "default" in result:
        return result["default"]
    if len(result) == 1:
        return next(iter(result.values()))
    raise Incompatible(
        f"{backbone} returns several outputs",
        got=", ".join(f"{name} {tuple(value.shape)}" for name, value in sorted(result.items())),
        expected="one, or one called 'default'",
    )


def _checked_dimension(features: Any, side: int, backbone: str) -> int:
    try:
        result = features(tf.zeros((1, side, side, 3), tf.float32))
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise Incompatible(
            f"{backbone} does not accept images of {side} × {side} pixels",
            got=str(error)[:300],
            fix="Name the input size that the model was made for.",
        ) from error
    shape = tuple(getattr(result, "shape", ()))
    dtype = getattr(result, "dtype", type(result).__name__)
    if len(shape) != 2 or shape[0] != 1 or dtype != tf.float32:
        raise Incompatible(
            f"{backbone} does not return one feature vector for an image",
            got=f"{getattr(dtype, 'name', dtype)} {shape} for an input of {(1, side, side, 3)}",
            expected="float32 (1, dimension)",
            fix="Use the feature_vector variant of the model, pooled and without the classifier.",
        )
    return int(shape[1])


def _short_name(backbone: str) -> str:
    """`https://tfhub.dev/google/bit/m-r50x1/1` → `bit-m-r50x1`; a folder gives its own name."""
    path = re.sub(r"^[a-z]+://[^/]+/", "", backbone)
    parts = [part for part in re.split(r"[/\\]+", path) if part]
    if "://" in backbone:
        noise = {"google", "imagenet", "tensorflow", "feature_vector", "feature-vector"}
        parts = [part for part in parts if part not in noise and not part.isdigit()]
    else:
        parts = parts[-1:]
    name = re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
    return name[:40].strip("-") or "backbone"
