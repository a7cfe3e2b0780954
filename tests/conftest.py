"""Shared fixtures: a closed network, a clean environment, one torch thread, public data beside the repository."""

from __future__ import annotations

import os

for _name, _value in {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}.items():
    os.environ[_name] = _value
for _name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
    os.environ.pop(_name, None)

import ipaddress  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")  # a busy machine fails no test

ROOT = Path(__file__).resolve().parent.parent


def _is_loopback(host: object) -> bool:
    if host in ("", "localhost", None):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback or str(host) == "0.0.0.0"
    except ValueError:
        return False


LONGEST = ("simulations/compare/", "deployment/", "medm2g/test_pretrain_machine", "simulations/evaluate/")
"""Minutes each. A file goes to one process as a whole, so whichever of these begins last is waited for alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; `make test` keeps xdist from putting those with few tests last."""
    items.sort(key=lambda item: next((at for at, part in enumerate(LONGEST) if part in item.nodeid), len(LONGEST)))


@pytest.fixture(autouse=True)
def closed_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches beyond loopback fails and names the host."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise AssertionError(f"a test tried to reach {address[0]}: the network is closed")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """One torch thread per test process, so that two processes share two cores; tests without torch stay without it."""
    if (torch := sys.modules.get("torch")) is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture
def task_identity() -> Iterator[None]:
    """Flower demands an identity of the running task before an app runs outside its own processes."""
    from flwr.supercore.task_identity import TaskIdentity

    names = ("_run_id", "_node_id", "_task_id")
    before = {name: getattr(TaskIdentity, name) for name in names}
    for name in names:
        setattr(TaskIdentity, name, 1)
    yield
    for name, value in before.items():
        setattr(TaskIdentity, name, value)


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where the machine has one: for tests of what waits for the disk at every step. What they
    show (killed processes, races, old copies) does not depend on the medium, and a busy disk would take minutes."""
    memory = Path("/dev/shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="fedm2g-test-") as folder:
        yield Path(folder)


def _beside(name: str) -> Path:
    folder = Path(os.environ.get("FEDM2G_SHARED", ROOT.parent / "shared")) / name
    if not folder.is_dir():
        pytest.skip(f"no {name} folder beside the repository (set FEDM2G_SHARED to the folder that holds it)")
    return folder


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The public image corpus beside the repository: `index.csv` and PNG files. Skips where it is absent."""
    return _beside("corpus")


@pytest.fixture(scope="session")
def dicom_samples() -> Path:
    """The genuine DICOM files beside the repository. Skips where they are absent."""
    return _beside("dicom")
