"""Our reader and writer are the safetensors format, one tensor at a time, and what is not that format is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from server.tensor_file import StoredArrays, TensorFile, TensorFileInvalid, TensorWriter, copy_arrays

RNG = np.random.default_rng(4)
ARRAYS = {
    "last|a.weight": RNG.standard_normal((3, 5)).astype(np.float32),
    "last|b": np.array(2.5, np.float32),
    "ema|a.weight": np.zeros((3, 5), np.float32),
    "last|empty": np.zeros((0, 4), np.float32),
}


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    path = tmp_path / "ours.safetensors"
    with TensorWriter(path, {name: array.shape for name, array in ARRAYS.items()}, {"made": "here"}) as writer:
        for name, array in ARRAYS.items():
            writer.put(name, array)
    return path


def test_the_library_reads_what_we_write(ours: Path) -> None:
    theirs = load_file(ours)
    assert theirs.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(theirs[name], array)
    assert TensorFile(ours).metadata == {"made": "here"}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_we_read_what_the_library_writes_as_float32_that_is_our_own(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "theirs.safetensors"
    save_file({name: array.astype(dtype) for name, array in ARRAYS.items()}, path)
    file = TensorFile(path)
    for name, array in ARRAYS.items():
        read = file.read(name)
        assert (read.dtype, read.shape, read.flags.writeable) == (np.float32, array.shape, True)
        np.testing.assert_array_equal(read, array.astype(dtype).astype(np.float32))
        read += 1
        np.testing.assert_array_equal(file.read(name), array.astype(dtype).astype(np.float32))


def test_a_prefix_is_a_group_and_can_be_copied_alone(ours: Path, tmp_path: Path) -> None:
    last = StoredArrays(TensorFile(ours), "last|")
    assert list(last) == ["a.weight", "b", "empty"]
    assert last.shapes() == {"a.weight": (3, 5), "b": (), "empty": (0, 4)}
    copy_arrays(last, tmp_path / "copy.safetensors")
    assert load_file(tmp_path / "copy.safetensors").keys() == {"a.weight", "b", "empty"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"12345",
        (2**40).to_bytes(8, "little") + b"{}",
        (4).to_bytes(8, "little") + b"[1,2",
        (2).to_bytes(8, "little") + b"[]",
        (56).to_bytes(8, "little") + b'{"w":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}   ' + b"8" * 8,
        (56).to_bytes(8, "little") + b'{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}   ' + b"8" * 8,
    ],
)
def test_a_file_of_another_format_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(TensorFileInvalid):
        TensorFile(path)


def test_a_file_that_was_cut_short_is_refused(ours: Path) -> None:
    ours.write_bytes(ours.read_bytes()[:-1])
    with pytest.raises(TensorFileInvalid, match="cut short"):
        TensorFile(ours)


def test_a_writer_takes_every_tensor_once_and_in_order_and_leaves_no_half_file(tmp_path: Path) -> None:
    path, shapes = tmp_path / "half", {"a": (2,), "b": (2,)}
    for names in (["b"], ["a"], ["a", "b", "b"], ["a", "a"]):
        with pytest.raises(ValueError, match="waits for"), TensorWriter(path, shapes, {}) as writer:
            for name in names:
                writer.put(name, np.zeros(2, np.float32))
        assert not path.exists()
