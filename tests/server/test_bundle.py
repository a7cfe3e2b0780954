"""The bundle is a signpost: unpacked it contains no room, and what it points to is the installed package."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from server.bundle import build_bundle, write_app_folder

ROOMS = ("medm2g", "privacy", "protocol", "client", "server", "simulations", "tests")
pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # flwr.cli over pathspec
REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_unpacked_bundle_contains_no_room(tmp_path: Path) -> None:
    bundle = build_bundle(tmp_path)
    with zipfile.ZipFile(bundle.path) as archive:
        assert sorted(archive.namelist()) == [".info/CONTENT", "fedm2g_app.py", "pyproject.toml"]
        archive.extractall(tmp_path / "unpacked")
    for room in ROOMS:
        assert not list((tmp_path / "unpacked").rglob(f"{room}*"))


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    assert build_bundle(tmp_path / "a").sha256 == build_bundle(tmp_path / "b").sha256


def test_the_apps_come_from_the_installed_package_even_with_the_bundle_first_on_the_path(tmp_path: Path) -> None:
    folder = write_app_folder(tmp_path)
    components = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["components"]
    module, _, name = components["serverapp"].partition(":")
    program = (
        f"import sys; sys.path[:0] = [{str(folder)!r}, {str(REPOSITORY)!r}]\n"
        f"import {module} as bundle, server.deployed, client.relay\n"
        f"assert bundle.{name} is server.deployed.app and bundle.client_app is client.relay.app\n"
        "assert 'torch' not in sys.modules, 'torch'"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
