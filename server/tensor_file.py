"""Safetensors files, one tensor at a time: what a coordinator must never hold in memory as a whole.

The library reads and writes whole files. Here a reader takes a tensor from its place and keeps nothing (no memory map
either: mapped pages count as the process's own), and a writer, which knows all shapes beforehand, writes the header
first and then tensor after tensor. Files are plain safetensors: the tests read ours with the library and the other way.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from protocol.arrays import Array

#: Number types that a group may be stored in; all of them are float32 here.
DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "F64": np.dtype("<f8")}
_METADATA = "__metadata__"
_MAX_HEADER_BYTES = 100_000_000  # as the library


class TensorFileInvalid(ValueError):
    """Not a safetensors file of real numbers, or cut short."""


class TensorFile:
    """One file for reading. Holds its header only."""

    def __init__(self, path: Path) -> None:
        """Raises TensorFileInvalid, and OSError where there is no such file."""
        self.path = path
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= _MAX_HEADER_BYTES:
                raise TensorFileInvalid(f"{path.name} is not a safetensors file.")
            try:
                header = json.loads(stream.read(length))
                self.metadata: dict[str, str] = header.pop(_METADATA, {})
                self._places = {name: _place(entry, 8 + length) for name, entry in header.items()}
            except (ValueError, KeyError, TypeError, AttributeError):
                raise TensorFileInvalid(f"{path.name} is not a safetensors file of real numbers.") from None
        ends = [offset + dtype.itemsize * math.prod(shape) for dtype, shape, offset in self._places.values()]
        if path.stat().st_size < max(ends, default=0):
            raise TensorFileInvalid(f"{path.name} is cut short.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one tensor."""
        return self._places[name][1]

    def read(self, name: str) -> Array:
        """One tensor, float32, writable, the caller's own."""
        dtype, shape, offset = self._places[name]
        values = np.fromfile(self.path, dtype=dtype, count=math.prod(shape), offset=offset)
        return values.astype(np.float32, copy=False).reshape(shape)


class StoredArrays(Mapping[str, Array]):
    """A group that stays on disk: every access reads one tensor anew. `prefix` selects it within a file."""

    def __init__(self, file: TensorFile, prefix: str = "") -> None:
        self._file, self._prefix = file, prefix
        self._names = sorted(name.removeprefix(prefix) for name in file if name.startswith(prefix))

    def __getitem__(self, name: str) -> Array:
        return self._file.read(self._prefix + name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all tensors, without reading one."""
        return {name: self._file.shape(self._prefix + name) for name in self._names}


class TensorWriter:
    """A float32 file whose tensors are put in the order of `shapes`, each once. Durable when the block ends well.

    Enter it; what an exception leaves behind is removed.
    """

    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> None:
        self._path, self._waiting = path, list(shapes.items())
        self._stream = path.open("wb")
        self._stream.write(_header(shapes, metadata))

    def put(self, name: str, array: Array) -> None:
        """Write the next tensor. Raises ValueError for another one than is due."""
        if not self._waiting or self._waiting[0] != (name, array.shape):
            raise ValueError(f"{name} of shape {array.shape} is not the tensor that {self._path.name} waits for.")
        self._stream.write(np.ascontiguousarray(array, dtype="<f4").reshape(-1).view(np.uint8).data)
        self._waiting.pop(0)

    def __enter__(self) -> TensorWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                if self._waiting:
                    raise ValueError(f"{self._path.name} still waits for {len(self._waiting)} tensors.")
                self._stream.flush()
                os.fsync(self._stream.fileno())
        except BaseException:
            self._path.unlink(missing_ok=True)
            raise
        finally:
            self._stream.close()
            if kind is not None:
                self._path.unlink(missing_ok=True)


def copy_arrays(arrays: StoredArrays, path: Path) -> None:
    """A file of just this group, tensor by tensor."""
    with TensorWriter(path, arrays.shapes(), {}) as writer:
        for name, array in arrays.items():
            writer.put(name, array)


def _header(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    begin = 0
    for name, shape in shapes.items():
        end = begin + 4 * math.prod(shape)
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight, as the library's do
    return len(text).to_bytes(8, "little") + text


def _place(entry: Mapping[str, Any], base: int) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    dtype, shape = DTYPES[entry["dtype"]], tuple(int(size) for size in entry["shape"])
    begin, end = entry["data_offsets"]
    if begin < 0 or end - begin != dtype.itemsize * math.prod(shape):
        raise ValueError("offsets")
    return dtype, shape, base + begin
