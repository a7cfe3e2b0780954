"""A real federation on loopback: the coordinator's own commands, vault daemons, SuperNodes, TLS and node keys.

Sites are small (a generator of few parameters, invented patients), everything else is what a hospital would run, each
part a process of its own that a test may kill. Whatever was started is ended, by process id, when the block is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from client.node_key import enrolment_of, make_node_key
from client.records.store import RecordRow, RecordStore
from client.relay_settings import RelayPlaces, RelaySettings
from client.socket_vault import SocketVault
from client.vault.settings import VaultSettings
from client.vault.vault import Vault
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.policy import SitePolicy
from protocol.study import Study
from server.consortium.places import ConsortiumPlaces

ROOT = Path(__file__).resolve().parents[2]
FEDM2G = Path(sys.executable).with_name("fedm2g")
PATIENTS = 12
DEADLINE_SECONDS = 600.0
"""Of a round: far more than one takes, also on a machine with much else to do."""
FLOWS = ("xray", "ct")
SITES = {"north": ("xray",), "south": ("xray", "ct")}
PLANTED = "Mustermann"
"""A name in the reports and identifiers of every site's records; it may never be seen outside of one."""


@dataclass
class Site:
    """One hospital: its folders and its two processes."""

    name: str
    folder: Path
    generator: Path
    runtime_port: int
    output: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def relay(self) -> RelayPlaces:
        return RelayPlaces(self.folder.with_name(f"{self.name}-relay"))

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "vault.sock"

    def start_vault(self, **variables: str) -> None:
        """Start the daemon and wait until it answers."""
        self._start("vault", "client.vault.daemon", "--site-dir", str(self.folder), **variables)
        SocketVault(self.socket, connect_seconds=90).describe()

    def start_relay(self, **variables: str) -> None:
        """Start the SuperNode; it joins within seconds."""
        self._start("relay", "client.supernode", "--relay-dir", str(self.relay.folder), **variables)

    def kill(self, name: str) -> None:
        """kill -9, the whole process group: of the relay that is SuperNode, executor and app processes."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def approve(self, study: Study) -> None:
        """As the hospital's people do, on the hospital's machine."""
        vault = Vault(self.folder, generator_folder=self.generator, deployment=True)
        vault.approve(study)
        vault.close()

    def rounds_begun(self, digest: str) -> dict[str, list[int]]:
        """How often each round of a study has begun here, by stage: what the ledger charges or could have."""
        database = sqlite3.connect(f"file:{self.folder / 'state' / 'rounds.sqlite'}?mode=ro", uri=True)
        query = "SELECT stage, attempts FROM rounds WHERE study_digest = ? ORDER BY stage, round_number"
        begun: dict[str, list[int]] = {}
        for stage, attempts in database.execute(query, (digest,)):
            begun.setdefault(stage, []).append(attempts)
        database.close()
        return begun

    def ledger(self) -> Ledger:
        """The site's account, verified."""
        keys = SiteKeys.open(self.folder)
        ledger = Ledger(self.folder / "ledger.sqlite", keys.signing_key, SitePolicy.read(self.folder / "site.toml"))
        ledger.verify()
        return ledger

    def _start(self, name: str, module: str, *arguments: str, **variables: str) -> None:
        self.run_program(name, "-m", module, *arguments, **variables)

    def run_program(self, name: str, *arguments: str, **variables: str) -> None:
        """Any program of Python in the place of one of the two processes; it finds our rooms."""
        variables = {"PYTHONPATH": str(ROOT)} | variables
        with (self.output / f"{self.name}-{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | variables, start_new_session=True,
            )  # fmt: skip


class Federation:
    """A coordinator and its sites in one folder; use `federation`."""

    def __init__(self, folder: Path, generator: Path, sites: dict[str, tuple[str, ...]]) -> None:
        self.folder, self.generator = folder, generator
        self.places = ConsortiumPlaces(folder / "consortium")
        self.port = free_port()
        self.output = folder / "output"
        self.output.mkdir(parents=True)
        self.sites = {name: self._make_site(name, flows) for name, flows in sites.items()}

    # --- the coordinator's commands -----------------------------------------------------------------------------------

    def fedm2g(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`fedm2g consortium ...`, as an operator types it."""
        done = subprocess.run(
            [str(FEDM2G), "consortium", *arguments, "--dir", str(self.places.folder)],
            capture_output=True, text=True, check=False, cwd=self.folder, timeout=300,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"fedm2g consortium {arguments} said {done.stderr or done.stdout}")
        return done

    def init(self) -> None:
        self.fedm2g("init", "--host", "localhost", "--port", str(self.port), "--bind", "127.0.0.1")

    def enrol(self, name: str) -> None:
        """The hospital sends SITE.json; it gets the authority's certificate and the address."""
        site = self.sites[name]
        self.fedm2g("enroll", str(site.folder / "SITE.json"))
        site.relay.write(site.relay.read().model_copy(update={"superlink": self.places.read().address}))
        (site.relay.folder / "ca.crt").write_bytes(self.places.ca_certificate.read_bytes())

    def start(self) -> None:
        self.fedm2g("start", "--detach")

    def status(self) -> dict[str, Any]:
        return json.loads(self.fedm2g("status", "--json").stdout)  # type: ignore[no-any-return]

    def study_status(self, name: str) -> dict[str, Any]:
        return next(study for study in self.status()["studies"] if study["study"] == name)

    def write_study(self, name: str, **changes: Any) -> Path:
        """A study over all sites; keywords replace whole sections."""
        values: dict[str, Any] = {
            "name": name,
            "generator": str(self.generator),
            "flows": [{"name": flow} for flow in FLOWS],
            "sites": [
                {"name": site.name, "flows": list(self.flows_of(site)), "declared_patients": PATIENTS}
                for site in self.sites.values()
            ],
            "stages": [
                {"name": "align", "rounds": 2, "sampling_probability": 0.3, "learning_rate": 1e-2},
                {"name": "diffuse", "rounds": 2, "sampling_probability": 0.3, "learning_rate": 1e-2},
            ],
            "privacy": {"max_epsilon": 8.0, "spare_rounds": 1.0},
            "federation": {
                "quorum": len(self.sites),
                "deadline_seconds": DEADLINE_SECONDS,
                "release_grid_seconds": 0.25,
            },
        }
        path = self.folder / f"{name}.toml"
        path.write_text(tomli_w.dumps(values | changes))
        return path

    def prepare(self, path: Path) -> Study:
        """`run --prepare`: the bound study that hospitals get."""
        said = json.loads(self.fedm2g("run", str(path), "--prepare", "--json").stdout)
        return Study.read(Path(said["file"]))

    def wait(self, name: str, reached: Callable[[dict[str, Any]], bool], *, seconds: float) -> dict[str, Any]:
        """Until the status of a study has `reached` what is wanted; its status."""
        end = time.monotonic() + seconds
        progress = self.places.run(name) / "progress.json"
        while time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError):
                said = json.loads(progress.read_text())
                if reached(said):
                    return said  # type: ignore[no-any-return]
            time.sleep(0.05)
        raise AssertionError(f"study {name} did not get there in {seconds} s: {self.study_status(name)}\n{self.logs()}")

    def wait_for_state(self, name: str, *states: str, seconds: float = 180.0) -> dict[str, Any]:
        return self.wait(name, lambda said: said["state"] in states, seconds=seconds)

    def children(self, word: str) -> list[int]:
        """Processes of this federation's coordinator whose command line holds `word`."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().decode(errors="replace").split("\0")
                mine = any(str(self.places.folder) in each or each == f"127.0.0.1:{self.port}" for each in words)
                if mine and any(word in each for each in words):
                    found.append(int(path.parent.name))
        return found

    def serverapp(self) -> int:
        """The process of the running ServerApp."""
        return next(pid for pid in self.children("flwr-serverapp"))

    def logs(self) -> str:
        """The ends of all logs, for a test that failed."""
        files = [self.places.log, *sorted(self.output.glob("*.log"))]
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in files if path.exists()
        )

    def stop(self) -> None:
        """End everything that was started."""
        for site in self.sites.values():
            for name in list(site.processes):
                site.kill(name)
        if self.places.lock.exists():
            self.fedm2g("stop", check=False)

    # --- making sites -------------------------------------------------------------------------------------------------

    def flows_of(self, site: Site) -> tuple[str, ...]:
        return SitePolicy.read(site.folder / "site.toml").declared_flows

    def _make_site(self, name: str, flows: tuple[str, ...]) -> Site:
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        keys = SiteKeys.create(folder, pseudonym_key=bytes(32))
        policy = {
            "name": name, "declared_patients": PATIENTS, "max_patients": 40, "declared_flows": list(flows),
            "max_epsilon": 100.0, "max_epsilon_per_study": 50.0, "max_delta": 0.5,
            "allowed_stages": ["align", "diffuse", "guide"], "minimum_patients": 5, "allow_non_private": True,
        }  # fmt: skip
        (folder / "site.toml").write_text(tomli_w.dumps(policy))
        VaultSettings(generator=str(self.generator)).write(folder)
        fill_store(folder, flows)
        site = Site(name, folder, self.generator, free_port(), self.output)
        settings = RelaySettings(site=name, socket=str(site.socket), runtime_port=site.runtime_port)
        node_key = make_node_key(site.relay.write(settings).node_key)
        enrolment = enrolment_of(SitePolicy.read(folder / "site.toml"), keys, node_key)
        (folder / "SITE.json").write_text(enrolment.to_json())
        return site


def fill_store(folder: Path, flows: tuple[str, ...]) -> None:
    """One record per flow and patient, of noise."""
    rng = np.random.default_rng(11)
    store = RecordStore.create(folder, image_size=64)
    for number in range(PATIENTS):
        for flow in flows:
            row = RecordRow(
                record_id=f"{PLANTED}-{number}-{flow}",
                pseudonym=f"{PLANTED}-{number:03d}",
                flow=flow,
                imaging_study=f"{PLANTED}-{number}",
                body_part="CHEST",
            )
            store.add_image(row, rng.integers(0, 4096, (64, 64)).astype(np.int16))
    store.close()


def make_generator(folder: Path) -> Path:
    """A generator of two flows with few parameters."""
    import torch

    from medm2g import Generator, preset
    from medm2g.config import FlowConfig

    with torch.random.fork_rng():
        torch.manual_seed(3)
        flows = tuple(FlowConfig(flow) for flow in FLOWS)
        config = preset("tiny", flows=flows, unet_channels=(16, 32), environment_width=16, adapter_width=16)
        Generator(config).save_pretrained(folder)
    return folder


@contextlib.contextmanager
def federation(folder: Path, sites: dict[str, tuple[str, ...]] = SITES) -> Iterator[Federation]:
    """Sites made, consortium initialised, everybody enrolled, the coordinator started, vaults and relays running."""
    made = Federation(folder, make_generator(folder / "generator"), sites)
    try:
        made.init()
        for name in sites:
            made.enrol(name)
        made.start()
        for site in made.sites.values():
            site.start_vault()
            site.start_relay()
        yield made
    finally:
        made.stop()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
