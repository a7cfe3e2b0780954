"""The project keeps its promises: a wheel of rooms and nothing else, walls that hold, pinned versions, fast help."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ROOMS = ("medm2g", "privacy", "protocol", "client", "server", "simulations")
HEAVY = ("torch", "diffusers", "transformers", "flwr", "monai", "matplotlib", "ray")


def _loaded_after(statement: str) -> set[str]:
    """Top-level modules in `sys.modules` of a fresh interpreter after a statement."""
    code = f"import sys\n{statement}\nprint('LOADED', *sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_importing_the_command_loads_nothing_heavy() -> None:
    assert not _loaded_after("import fedm2g") & set(HEAVY)


def test_help_of_every_command_loads_nothing_heavy() -> None:
    statement = (
        "import fedm2g, typer.main\n"
        "from typer.testing import CliRunner\n"
        "names = list(typer.main.get_command(fedm2g.app).commands)\n"
        "for words in [[]] + [[name] for name in names]:\n"
        "    assert CliRunner().invoke(fedm2g.app, [*words, '--help']).exit_code == 0, words\n"
        "assert {'simulate', 'generate', 'evaluate', 'phantoms', 'pretrain', 'site'} <= set(names), names"
    )
    assert not _loaded_after(statement) & set(HEAVY)


def test_importing_the_protocol_or_the_relay_loads_no_torch() -> None:
    assert "torch" not in _loaded_after("import protocol.study, protocol.intensity, protocol.requests, protocol.codec")
    assert "torch" not in _loaded_after("import client.relay")


def test_the_package_lists_exactly_the_rooms() -> None:
    listed = {name.partition(".")[0] for name in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert listed == set(ROOMS)
    assert PYPROJECT["tool"]["setuptools"]["py-modules"] == ["fedm2g"]


def test_every_folder_with_python_in_a_room_is_a_package_and_so_is_installed() -> None:
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), f"{path.parent.relative_to(ROOT)} has no __init__.py"


def test_the_import_contract_names_every_wall() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    assert set(PYPROJECT["tool"]["importlinter"]["root_packages"]) == set(ROOMS)
    walls = {
        (source, target)
        for contract in contracts
        if contract["type"] == "forbidden"
        for source in contract["source_modules"]
        for target in contract["forbidden_modules"]
    }
    free_standing = ("medm2g", "privacy", "protocol")
    needed = {(room, other) for room in free_standing for other in ROOMS if other != room}
    needed |= {("client", "simulations"), ("server", "simulations"), ("protocol", "torch")}
    assert needed <= walls
    assert any(c["type"] == "independence" and set(c["modules"]) == {"client", "server"} for c in contracts)


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9A-Za-z.!]+", line) for line in pins), (
        "only plain NAME==VERSION lines"
    )
    return {name: version for name, _, version in (line.partition("==") for line in pins)}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_pinned_to_a_version_that_its_range_allows() -> None:
    from packaging.requirements import Requirement

    pins = {_canonical(name): version for name, version in _pins().items()}
    project = PYPROJECT["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[_canonical(requirement.name)], prereleases=True), text


def test_nothing_committed_names_a_registry_or_a_path_of_one_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    path_or_registry = re.compile(r"/work/[a-z]+/|/home/[a-z]+/|index-url|pythonhosted|pypi\.org|find-links")
    for name in listed.stdout.split():
        path = ROOT / name
        if path != Path(__file__) and path.suffix in (".py", ".toml", ".txt", ".md", ".sh", "") and path.is_file():
            assert not path_or_registry.search(path.read_text(encoding="utf-8")), name


@pytest.mark.timeout(120)
def test_the_wheel_holds_the_rooms_and_nothing_else(tmp_path: Path) -> None:
    """Built from the working tree as it is; no network, so the build backend must be installed here."""
    pytest.importorskip("setuptools")
    import shutil
    import zipfile

    tree = tmp_path / "tree"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "weights")
    for name in (*ROOMS, "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    for name in ("fedm2g.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('dist'))"
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-c", build], cwd=tree, env=environment, capture_output=True, check=True)
    (wheel,) = (tree / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        assert "simulations/templates/report.html.j2" in archive.namelist()
    assert {top for top in tops if not top.endswith(".dist-info")} == {*ROOMS, "fedm2g.py"}
