"""The vault as a process of its own: rounds over its socket, a kill in the midst of a step, and memory given back."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client.vault.daemon import REFUSED, SERVICE
from client.vault.settings import VaultSettings
from client.vault.vault import Vault
from protocol.codes import Code
from protocol.records import reply_to_record
from protocol.requests import TrainReply, TrainRequest
from protocol.study import Study
from protocol.version import VERSION

ROOT = Path(__file__).resolve().parents[3]
MakeRequest = Callable[..., TrainRequest]
GRID = 0.25


@dataclass
class Place:
    """The module's one daemon; a test that kills it puts another in its place."""

    daemon: Any
    start: Callable[..., Any]


@pytest.fixture(scope="module")
def study(make_study: Callable[..., Study]) -> Study:
    long_step = {"timestep_draws": 16, "sampling_probability": 1.0}  # long enough that a kill finds it at work
    stages = [{"name": "align", "rounds": 4, "sampling_probability": 0.3}, {"name": "diffuse", "rounds": 2} | long_step]
    return make_study(federation={"release_grid_seconds": GRID}, stages=stages)


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, build_site: Callable[..., Any], start_daemon: Any, study: Study
) -> Iterator[Place]:
    site = build_site(tmp_path_factory.mktemp("north"))
    vault = site.vault(deployment=True)
    vault.approve(study)
    vault.close()
    yield Place(start_daemon(site), start_daemon)


def wire_bytes(reply: TrainReply) -> dict[str, bytes]:
    record = reply_to_record(reply)
    return {f"{group}/{name}": array.data for group in reply.updates for name, array in record[group].items()}


def kinds(site: Any) -> list[str]:
    vault = Vault(site.folder, generator_folder=site.generator_folder)
    try:
        return [entry.kind for entry in vault._ledger.entries()][2:]
    finally:
        vault.close()


def rss(process: int) -> int:
    """Megabytes resident."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


def test_it_says_who_it_is_and_names_no_study_but_the_one_that_was_asked_for(place: Place, study: Study) -> None:
    digest = study.digest(version=VERSION)
    found = place.daemon.ask().describe(digest)
    assert (found.site, found.versions, found.studies) == ("north", {"fedm2g": VERSION}, (digest,))
    assert place.daemon.ask().describe("0" * 64).studies == place.daemon.ask().describe("").studies == ()
    with grpc.insecure_channel(f"unix:{place.daemon.socket}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(service=SERVICE)).status == 1


def test_an_idle_vault_has_not_even_imported_torch(place: Place) -> None:
    assert not place.daemon.ask(operator=True).status().operator.model_resident
    assert "libtorch" not in Path(f"/proc/{place.daemon.process.pid}/maps").read_text()


def test_a_round_over_the_socket_is_what_the_vault_releases_and_costs_nothing_when_it_is_asked_again(
    place: Place, study: Study, make_request: MakeRequest
) -> None:
    request = make_request(study, "align")
    first = place.daemon.ask().train(request)
    assert (first.code, first.site, first.incident) == (Code.OK, "north", "")
    assert first.inputs_digest == request.inputs_digest and set(first.updates) == set(request.trains)
    again = place.daemon.ask().train(request)
    assert wire_bytes(again) == wire_bytes(first) and again.event_digest == first.event_digest
    vault = Vault(place.daemon.site.folder, generator_folder=place.daemon.site.generator_folder)
    assert wire_bytes(vault.train(request)) == wire_bytes(first)  # the kept reply, without a socket between
    vault.close()
    assert kinds(place.daemon.site) == ["reserved", "committed"]


def test_a_vault_that_is_killed_in_the_midst_of_a_step_is_asked_again_and_both_beginnings_are_charged(
    place: Place, study: Study, make_request: MakeRequest
) -> None:
    replies: list[TrainReply] = []
    daemon, request = place.daemon, make_request(study, "diffuse")
    asking = threading.Thread(target=lambda: replies.append(daemon.ask().train(request)))
    asking.start()
    end = time.monotonic() + 200
    while kinds(daemon.site)[2:] != ["reserved"]:
        assert time.monotonic() < end and asking.is_alive()
        time.sleep(0.01)
    daemon.kill()
    VaultSettings(generator=str(daemon.site.generator_folder), idle_seconds=1.0).write(daemon.site.folder)
    place.daemon = place.start(daemon.site)
    asking.join(timeout=300)
    assert replies and replies[0].code is Code.OK, replies
    assert kinds(daemon.site)[2:] == ["reserved", "reserved", "committed"]


def test_a_vault_that_idles_begins_anew_and_gives_all_memory_back(place: Place) -> None:
    """Follows the test above: this daemon has just trained, and idles after a second."""
    operator, process, end = place.daemon.ask(operator=True), place.daemon.process, time.monotonic() + 100
    while operator.status().operator.model_resident:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert process.poll() is None and place.daemon.ask().describe().site == "north"
    assert rss(process.pid) < 150, "as before the first round"


def test_a_second_vault_over_the_same_site_refuses_to_start_with_one_sentence(place: Place) -> None:
    command = [sys.executable, "-m", "client.vault.daemon", "--site-dir", str(place.daemon.site.folder)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert second.returncode == REFUSED and "runs over" in second.stderr
    assert place.daemon.ask().describe().site == "north"


def test_it_stops_when_it_is_asked_to(place: Place) -> None:
    assert place.daemon.stop() == 0
    assert (place.daemon.site.folder / "vault.log").read_text() == ""  # nobody warned or printed anything
