"""One generator per process and folder, shared by every vault of the process.

Four vaults of a simulation must not hold four copies of the same public trunks. What differs between sites or rounds is
only which parameter groups are loaded, so whoever trains takes the lock and loads the groups it reads.
"""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from medm2g.generator import Generator
from protocol.arrays import GroupArrays
from protocol.codec import AsSent
from protocol.digests import digest_folder, digest_group

_shared: dict[str, SharedGenerator] = {}
_digests: dict[Path, tuple[object, str]] = {}
"""By folder: how its files stood when they were read, and their digest."""
_opening = threading.Lock()


class SharedGenerator:
    """A generator, which groups are loaded into it now, and the groups that its folder holds."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder = folder
        self.digest = digest
        """Of the folder."""
        self.generator = Generator.from_pretrained(folder).eval().requires_grad_(False)  # the mechanism makes leaves
        self.lock = threading.RLock()
        self._loaded: dict[str, str] = {}
        self._shapes: dict[str, dict[str, tuple[int, ...]]] = {}

    @cached_property
    def initial_digests(self) -> dict[str, str]:
        """Digest of each group of the folder, as a server names it."""
        return {name: digest_group(self.initial(name)) for name in self.generator.group_names()}

    def initial(self, name: str) -> dict[str, np.ndarray]:
        """A group of the folder as those get it who are sent it; read anew, so that a large one is not held twice."""
        arrays = load_file(self.folder / "groups" / f"{name}.safetensors")
        return dict(AsSent({key: np.asarray(array, dtype=np.float32) for key, array in arrays.items()}))

    def shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        """Qualified parameter names of a group, in its order, with their shapes. Raises GroupUnknown."""
        if name not in self._shapes:
            group = self.generator.group(name)
            self._shapes[name] = {key: tuple(parameter.shape) for key, parameter in group.items()}
        return self._shapes[name]

    def load(self, name: str, digest: str, arrays: GroupArrays) -> None:
        """Put a group into the generator, unless it is there already. Hold `lock`."""
        if self._loaded.get(name) != digest:
            self._loaded.pop(name, None)
            self.generator.load_group(name, dict(arrays))
            self._loaded[name] = digest

    def loaded(self, name: str, digest: str) -> bool:
        """Whether exactly this group is in the generator now."""
        return self._loaded.get(name) == digest


def shared_generator(folder: Path) -> SharedGenerator:
    """The generator of that folder, loaded once per process, known by the folder's content. Raises MedM2GError."""
    with _opening:
        digest = _digest_of(folder)
        if digest not in _shared:
            _shared[digest] = SharedGenerator(folder, digest)
        return _shared[digest]


def _digest_of(folder: Path) -> str:
    """`digest_folder`, which reads every byte, once for all vaults of a process as long as no file has been written to,
    moved or replaced (a write changes the inode's own time, which no program can set)."""
    stands = sorted(
        (path.as_posix(), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        for path in folder.rglob("*")
        if (found := path.stat())
    )
    if folder not in _digests or _digests[folder][0] != stands:
        _digests[folder] = (stands, digest_folder(folder))
    return _digests[folder][1]
