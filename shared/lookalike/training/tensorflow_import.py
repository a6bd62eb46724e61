"""Import TensorFlow without what Keras imports only for features that no training uses."""

from __future__ import annotations

import gc
import sys

UNUSED = ("matplotlib", "sklearn")
"""Keras works without these. They and SciPy, which scikit-learn imports, take 1.5 s of 6 s."""


def import_tensorflow() -> None:
    """Import TensorFlow and Keras, in two thirds of the usual time.

    The packages of `UNUSED` can be imported afterwards. This is for a process that has a single thread: in
    another one, an import of those packages would fail meanwhile.
    """
    # The collector would look through all that the modules define, again and again: 0.7 s.
    collecting = gc.isenabled()
    gc.disable()
    hidden = [name for name in UNUSED if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # `import` then raises ImportError
    try:
        import tensorflow  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
        if collecting:
            gc.enable()
