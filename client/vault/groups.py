"""The parameter groups a site holds, by digest: those of its generator folder, and those a study has sent it.

Groups that a stage only reads stay the same for the whole stage and are kept on disk, one per name. Groups that it
trains change every round, travel with every request, and are not kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from client.vault.durable import write_durably
from protocol.arrays import GroupArrays
from protocol.digests import digest_group


class HeldGroups:
    """Groups below `folder`, one file `<family>/<flow>/<digest>.safetensors` per name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def digests(self) -> dict[str, str]:
        """Digest of the group held for each name."""
        return {
            path.parent.relative_to(self._folder).as_posix(): path.stem
            for path in sorted(self._folder.glob("*/*/*.safetensors"))
        }

    def holds(self, name: str, digest: str) -> bool:
        """Whether the group of that name and digest lies here."""
        return self._path(name, digest).is_file()

    def read(self, name: str, digest: str) -> dict[str, np.ndarray] | None:
        """The arrays, or None where they are not held or no longer what their name says."""
        path = self._path(name, digest)
        if not path.is_file():
            return None
        try:
            arrays = load(path.read_bytes())
        except SafetensorError:
            arrays = {}
        if digest_group(arrays) != digest:
            path.unlink(missing_ok=True)
            return None
        return arrays

    def keep(self, name: str, digest: str, arrays: GroupArrays) -> None:
        """Hold this group instead of an earlier one of the same name. `name` must be one of the generator's."""
        path = self._path(name, digest)
        if path.is_file():
            return
        earlier = list(path.parent.glob("*.safetensors"))
        write_durably(path, save({key: np.require(array, requirements="C") for key, array in arrays.items()}))
        for old in earlier:
            old.unlink(missing_ok=True)

    def _path(self, name: str, digest: str) -> Path:
        return self._folder / name / f"{digest}.safetensors"
