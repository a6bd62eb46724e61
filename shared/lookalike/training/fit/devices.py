"""The devices that TensorFlow computes on."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

BFLOAT16_SINCE = (8, 0)
"""CUDA compute capability (Ampere) from which tensor cores take bfloat16."""


def compute_type() -> Any:
    """bfloat16 if every GPU supports it, else float32; a TensorFlow dtype."""
    gpus = tf.config.list_physical_devices("GPU")
    capabilities = [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus
    ]
    return tf.bfloat16 if gpus and min(capabilities) >= BFLOAT16_SINCE else tf.float32
