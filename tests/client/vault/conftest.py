"""Small real sites: a generator of few parameters with random weights, invented patients in a real encrypted store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from client.records.store import RecordRow, RecordStore
from client.socket_vault import SocketVault
from client.vault.generators import shared_generator
from client.vault.settings import VaultSettings, operator_socket
from client.vault.vault import Vault
from medm2g import Generator, preset
from medm2g.config import FlowConfig
from privacy.engines import ExecutionSettings
from privacy.keys import SiteKeys
from protocol.digests import digest_folder, digest_group
from protocol.requests import TrainRequest
from protocol.study import NORMALISED_KNOTS, Study
from protocol.version import VERSION

ROOT = Path(__file__).resolve().parents[3]
FLOWS = (FlowConfig("xray", intensity=NORMALISED_KNOTS), FlowConfig("ct"), FlowConfig("text", "text"))
PATIENTS = 12
STUDY: dict[str, Any] = {
    "name": "small",
    "flows": [{"name": "xray"}, {"name": "ct"}, {"name": "text", "kind": "text"}],
    "sites": [
        {"name": "north", "flows": ["xray", "text"], "declared_patients": PATIENTS},
        {"name": "south", "flows": ["xray", "ct"], "declared_patients": PATIENTS},
    ],
    "stages": [
        {"name": "align", "rounds": 2, "sampling_probability": 0.3, "learning_rate": 1e-2},
        {"name": "diffuse", "rounds": 2, "sampling_probability": 0.3, "learning_rate": 1e-2},
        {"name": "guide", "rounds": 2, "sampling_probability": 0.3, "learning_rate": 1e-2},
    ],
    "privacy": {"max_epsilon": 8.0, "spare_rounds": 0.5},
}
POLICY: dict[str, Any] = {
    "declared_patients": PATIENTS,
    "max_patients": 40,
    "max_epsilon": 20.0,
    "max_epsilon_per_study": 8.0,
    "max_delta": 0.05,
    "allowed_stages": ["align", "diffuse", "guide"],
    "minimum_patients": 5,
    "allow_non_private": False,
}
SENTENCES = ("Left pleural effusion.", "No nodule.", "Large right pneumothorax.", "Normal heart size.")


@pytest.fixture(scope="session")
def generator_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator of three flows with few parameters."""
    folder = tmp_path_factory.mktemp("generator") / "small"
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = preset("tiny", flows=FLOWS, unet_channels=(16, 32), environment_width=16, adapter_width=16)
        Generator(config).save_pretrained(folder)
    return folder


@dataclass
class SmallSite:
    """A site's folder and what it takes to open its vault again, as a restart would."""

    folder: Path
    generator_folder: Path
    opened: list[Vault]

    def vault(self, **options: Any) -> Vault:
        execution = ExecutionSettings(chunk_size=8, engine="vmap")
        vault = Vault(self.folder, generator_folder=self.generator_folder, execution=execution, **options)
        self.opened.append(vault)
        return vault


@pytest.fixture
def make_site(tmp_path: Path, build_site: Callable[..., SmallSite]) -> Iterator[Callable[..., SmallSite]]:
    """A site of that name with records of `flows` for so many patients; keywords change its policy."""
    made: list[SmallSite] = []

    def make(name: str = "north", **options: Any) -> SmallSite:
        made.append(build_site(tmp_path, name, **options))
        return made[-1]

    yield make
    for site in made:
        for vault in site.opened:
            vault.close()


@pytest.fixture(scope="session")
def build_site(generator_folder: Path) -> Callable[..., SmallSite]:
    """The same for any folder, for fixtures that outlive one test."""

    def build(
        parent: Path,
        name: str = "north",
        *,
        declared_flows: tuple[str, ...] = ("xray", "text"),
        holds: tuple[str, ...] | None = None,
        patients: int = PATIENTS,
        **policy: Any,
    ) -> SmallSite:
        folder = parent / f"site-{name}"
        folder.mkdir(mode=0o700)
        SiteKeys.create(folder, pseudonym_key=bytes(32))
        terms = POLICY | {"name": name, "declared_flows": list(declared_flows)} | policy
        (folder / "site.toml").write_text("\n".join(f"{key} = {_toml(value)}" for key, value in terms.items()))
        fill_store(folder, flows=declared_flows if holds is None else holds, patients=patients)
        return SmallSite(folder, generator_folder, [])

    return build


def fill_store(folder: Path, *, flows: tuple[str, ...], patients: int) -> None:
    """One record per flow and patient."""
    rng = np.random.default_rng(11)
    store = RecordStore.create(folder, image_size=64)
    for number in range(patients):
        for flow in flows:
            row = RecordRow(
                record_id=f"{number}-{flow}",
                pseudonym=f"pseudonym-{number:03d}",
                flow=flow,
                imaging_study=f"study-{number}",
                body_part="CHEST",
            )
            if flow == "text":
                store.add_report(row, SENTENCES[number % len(SENTENCES)])
            else:
                store.add_image(row, rng.integers(0, 4096, (64, 64)).astype(np.int16))
    store.close()


@pytest.fixture(scope="session")
def make_study(generator_folder: Path) -> Callable[..., Study]:
    """The study, bound to the generator; keywords replace whole sections."""

    def make(**changes: Any) -> Study:
        return Study.from_dict(STUDY | changes).with_generator(digest=digest_folder(generator_folder))

    return make


@pytest.fixture(scope="session")
def make_request(generator_folder: Path) -> Callable[..., TrainRequest]:
    """What an honest server sends to a site for one round, the groups being those of the generator folder."""

    def make(
        study: Study,
        stage: str,
        *,
        site: str = "north",
        round_number: int = 1,
        groups: Mapping[str, Mapping[str, np.ndarray]] | None = None,
        also: tuple[str, ...] = (),
    ) -> TrainRequest:
        from protocol.groups import reads_of

        shared, spec = shared_generator(generator_folder), study.site(site)
        trains = study.groups_of(stage, spec)  # type: ignore[arg-type]
        names = (*trains, *reads_of(study, stage, spec))  # type: ignore[arg-type]
        arrays = {name: shared.initial(name) for name in names} | dict(groups or {})
        return TrainRequest(
            study_digest=study.digest(version=VERSION),
            stage=stage,
            round_number=round_number,
            trains=trains,
            reads={name: digest_group(arrays[name]) for name in names},
            groups={name: arrays[name] for name in (*trains, *also)},
        )

    return make


def shifted(arrays: Mapping[str, np.ndarray], by: float = 0.01) -> dict[str, np.ndarray]:
    """A group with every value moved: another input."""
    return {name: (array + np.float32(by)).astype(np.float32) for name, array in arrays.items()}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


@dataclass
class Daemon:
    """A vault daemon in a process of its own."""

    site: SmallSite
    process: subprocess.Popen[bytes]

    @property
    def socket(self) -> Path:
        return VaultSettings.read(self.site.folder).socket_path(self.site.folder)

    @property
    def operator_socket(self) -> Path:
        return operator_socket(self.site.folder)

    def ask(self, *, operator: bool = False) -> SocketVault:
        return SocketVault(self.operator_socket if operator else self.socket)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=120)


@pytest.fixture(scope="session")
def start_daemon() -> Iterator[Callable[..., Daemon]]:
    """Start the daemon of a site and wait until it answers; keywords become `vault.toml`."""
    started: list[subprocess.Popen[bytes]] = []

    def start(site: SmallSite, **popen: Any) -> Daemon:
        if not (site.folder / "vault.toml").exists():
            VaultSettings(generator=str(site.generator_folder)).write(site.folder)
        command = [sys.executable, "-m", "client.vault.daemon", "--site-dir", str(site.folder)]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, **popen)
        started.append(process)
        daemon = Daemon(site, process)
        SocketVault(daemon.socket, connect_seconds=120).describe()
        return daemon

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
