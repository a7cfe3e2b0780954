"""One real federation: TLS, node keys, vault daemons, two hospitals, one kill. What hospitals and auditors will run."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from client.relay import make_client_app
from client.vault.vault import Vault
from protocol.study import Study
from server.app import run_study
from simulations.local_grid import LocalGrid
from tests.deployment.federation import PLANTED, Federation, federation

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(1800)]
PUBLIC = {"privacy": {"enabled": False}}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with federation(tmp_path_factory.mktemp("federation")) as made:
        yield made


@pytest.fixture(scope="module")
def finished(running: Federation) -> Study:
    """A study that both hospitals approved; its ServerApp is killed in the second round, and the study resumed."""
    study = running.prepare(running.write_study("first", **PUBLIC))
    for name, site in running.sites.items():
        shutil.copytree(site.folder, running.folder / f"{name}-copy", ignore=shutil.ignore_patterns("*.sock", "*.lock"))
        site.approve(study)
    running.fedm2g("run", str(running.places.run("first") / "study.toml"))
    running.wait("first", lambda said: said["rounds_done"] == 1 and said["awaited"], seconds=600)
    os.kill(running.serverapp(), signal.SIGKILL)
    interrupted = running.study_status("first")
    assert (interrupted["state"], interrupted["rounds_done"]) == ("interrupted", 1)
    assert "--resume" in interrupted["what_to_do"]
    running.fedm2g("run", str(running.places.run("first") / "study.toml"), "--resume", "--wait")
    return study


def test_a_killed_and_resumed_study_on_real_processes_equals_an_uninterrupted_one_in_one_process(
    running: Federation, finished: Study, task_identity: None, tmp_path: Path
) -> None:
    vaults = {}
    for name in running.sites:
        vaults[name] = Vault(running.folder / f"{name}-copy", generator_folder=running.generator, deployment=True)
        vaults[name].approve(finished)
    apps = {name: make_client_app(lambda _, vault=vault: vault) for name, vault in vaults.items()}
    uninterrupted = run_study(
        LocalGrid(apps), finished, generator_folder=running.generator, out=tmp_path / "local"
    ).generator
    for vault in vaults.values():
        vault.close()
    fetched = tmp_path / "fetched"
    running.fedm2g("fetch", "first", "--out", str(fetched))
    assert uninterrupted is not None
    compared = 0
    for path in sorted((uninterrupted / "groups").rglob("*.safetensors")):
        ours, theirs = load_file(path), load_file(fetched / path.relative_to(uninterrupted))
        before = load_file(running.generator / path.relative_to(uninterrupted))
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            np.testing.assert_array_equal(theirs[name], array)
            compared += not np.array_equal(array, before[name].astype(np.float32))
    assert compared > 100  # tensors that the study trained


def test_status_names_both_hospitals_and_how_the_study_ended(running: Federation, finished: Study) -> None:
    said = running.status()
    assert said["coordinator"] == "running"
    assert {site["name"]: site["node"] for site in said["sites"]} == {"north": "online", "south": "online"}
    study = running.study_status("first")
    assert (study["state"], study["rounds_done"], study["rounds_total"]) == ("completed", 4, 4)
    assert "WITHOUT differential privacy" in running.fedm2g("status").stdout


def test_nobody_without_the_token_starts_anything_over_the_real_port(running: Federation, finished: Study) -> None:
    trusted = ssl.create_default_context(cafile=str(running.places.ca_certificate))
    for path in ("/v1/control/start-run", "/v1/control/list-nodes", "/docs", "/openapi.json"):
        for headers, status in (({}, 401), ({"Authorization": "Bearer " + "x" * 43}, 403)):
            request = urllib.request.Request(f"https://localhost:{running.port}{path}", method="POST", headers=headers)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, context=trusted, timeout=30)
            refused.value.close()
            assert refused.value.code == status
    refusals = running.places.audit.read_text().count("operator token")
    assert refusals >= 8


def test_a_key_that_nobody_enrolled_never_joins(running: Federation, finished: Study) -> None:
    """A stolen SITE.json opens nothing: whoever has it has another key."""
    stolen = running._make_site("stranger", ("xray",))
    stolen.relay.write(
        stolen.relay.read().model_copy(update={"superlink": running.places.read().address, "site": "north"})
    )
    (stolen.relay.folder / "ca.crt").write_bytes(running.places.ca_certificate.read_bytes())
    stolen.start_relay()
    process = stolen.processes.pop("relay")
    assert process.wait(timeout=300) != 0
    assert {site["name"] for site in running.status()["sites"]} == {"north", "south"}


def test_no_patients_name_is_anywhere_at_the_coordinator_or_in_a_relay(running: Federation, finished: Study) -> None:
    """Identifiers stand in every record of both stores; logs, database, audit and Flower's folders are searched."""
    searched = 0
    for folder in (running.places.folder, running.output, *(site.relay.folder for site in running.sites.values())):
        for path in folder.rglob("*"):
            if path.is_file():
                searched += 1
                assert PLANTED.encode() not in path.read_bytes(), path
    assert searched > 30


def test_every_vault_reserved_each_round_once_although_the_server_died(running: Federation, finished: Study) -> None:
    from protocol.version import VERSION

    for site in running.sites.values():
        assert site.rounds_begun(finished.digest(version=VERSION)) == {"align": [1, 1], "diffuse": [1, 1]}


def test_the_coordinator_stops_with_everything_that_it_started(running: Federation, finished: Study) -> None:
    running.fedm2g("stop")
    end = time.monotonic() + 60
    while running.children("") and time.monotonic() < end:
        time.sleep(0.2)
    assert running.children("") == []
    assert running.status()["coordinator"] == "not running"
