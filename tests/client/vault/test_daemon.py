"""The vault as a process of its own: what its two sockets answer, to whom, and what a restart forgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from client.vault.vault import Vault
from protocol import vault_pb2_grpc
from protocol.codes import Code
from protocol.records import reply_to_record
from protocol.requests import TrainReply, TrainRequest
from protocol.study import Study
from protocol.version import VERSION

MakeStudy = Callable[..., Study]
MakeRequest = Callable[..., TrainRequest]
GRID = {"federation": {"release_grid_seconds": 0.25}}


@pytest.fixture(scope="module")
def study(make_study: MakeStudy) -> Study:
    return make_study(**GRID)


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory,
    build_site: Callable[..., Any],
    start_daemon: Callable[..., Any],
    study: Study,
) -> Iterator[Any]:
    site = build_site(tmp_path_factory.mktemp("north"))
    vault = site.vault(deployment=True)
    vault.approve(study)
    vault.close()
    yield start_daemon(site)


def wire_bytes(reply: TrainReply) -> dict[str, bytes]:
    record = reply_to_record(reply)
    return {f"{group}/{name}": array.data for group in reply.updates for name, array in record[group].items()}


def stub(path: Path) -> vault_pb2_grpc.VaultStub:
    return vault_pb2_grpc.VaultStub(grpc.insecure_channel(f"unix:{path}"))


def test_it_says_who_it_is_and_names_no_study_but_the_one_that_was_asked_for(daemon: Any, study: Study) -> None:
    digest = study.digest(version=VERSION)
    found = daemon.ask().describe(digest)
    assert (found.site, found.versions, found.studies) == ("north", {"fedm2g": VERSION}, (digest,))
    assert daemon.ask().describe("0" * 64).studies == daemon.ask().describe("").studies == ()


def test_a_round_over_the_socket_gives_what_the_vault_releases_and_costs_nothing_when_asked_again(
    daemon: Any, study: Study, make_request: MakeRequest
) -> None:
    request = make_request(study, "align")
    first = daemon.ask().train(request)
    assert (first.code, first.site, first.incident) == (Code.OK, "north", "")
    assert first.inputs_digest == request.inputs_digest and set(first.updates) == set(request.trains)
    again = daemon.ask().train(request)
    assert wire_bytes(again) == wire_bytes(first) and again.event_digest == first.event_digest
    vault = Vault(daemon.site.folder, generator_folder=daemon.site.generator_folder)
    try:
        assert wire_bytes(vault.train(request)) == wire_bytes(first)  # the same kept reply, without a socket
        assert [entry.kind for entry in vault._ledger.entries()].count("reserved") == 1
    finally:
        vault.close()
