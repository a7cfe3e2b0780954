"""One generator for all vaults of a process, known by what its folder holds now."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from client.vault import generators
from client.vault.generators import shared_generator


@pytest.fixture
def own_folder(generator_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(generator_folder, tmp_path / "generator"))


def test_a_folder_is_read_once_for_all_vaults_of_a_process(own_folder: Path, monkeypatch) -> None:
    reads: list[Path] = []
    original = generators.digest_folder
    monkeypatch.setattr(generators, "digest_folder", lambda folder: reads.append(folder) or original(folder))
    assert shared_generator(own_folder) is shared_generator(own_folder)
    assert len(reads) == 1


def test_a_file_that_was_written_to_is_another_generator_even_under_its_old_time(own_folder: Path) -> None:
    before = shared_generator(own_folder).digest
    path = next(own_folder.rglob("*.safetensors"))
    content, times = bytearray(path.read_bytes()), path.stat()
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size and path.stat().st_mtime_ns == times.st_mtime_ns
    assert shared_generator(own_folder).digest != before
