"""The fault table on real processes: three hospitals, TLS, node keys, vault daemons; each test a study with its faults.

`make faults` only. docs/faults.md says which row is which test, and what the outcome was.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from protocol.study import Study
from protocol.version import VERSION
from server.rounds import RoundLog, RoundRecord
from tests.deployment.federation import DEADLINE_SECONDS, PATIENTS, Federation, Site, federation
from tests.faults.cut_network import Network

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]
HERE = Path(__file__).parent
SITES = {"north": ("xray",), "south": ("xray", "ct"), "west": ("ct",)}
ALL = list(SITES)
PUBLIC = {"enabled": False}
LONG = 1500.0
"""Seconds that a whole study may take on a machine with much else to do."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with federation(tmp_path_factory.mktemp("faults"), SITES) as made:
        yield made


def stages(rounds: int) -> list[dict[str, Any]]:
    return [{"name": "align", "rounds": rounds, "sampling_probability": 0.5, "learning_rate": 1e-2}]


def approved(running: Federation, name: str, *, rounds: int, **changes: Any) -> Study:
    """A study that every hospital has approved, not yet started."""
    federation_terms = {"quorum": 3, "deadline_seconds": DEADLINE_SECONDS, "release_grid_seconds": 0.25}
    terms = changes.pop("federation", {})
    path = running.write_study(name, stages=stages(rounds), federation=federation_terms | terms, **changes)
    study = running.prepare(path)
    for site in running.sites.values():
        site.approve(study)
    return study


def start(running: Federation, name: str, *options: str) -> None:
    running.fedm2g("run", str(running.places.run(name) / "study.toml"), *options)


def rounds_of(running: Federation, name: str) -> list[RoundRecord]:
    return RoundLog(running.places.run(name) / "rounds.jsonl").read()


def open_round(running: Federation, name: str, number: int) -> None:
    """Wait until that round has been asked for and somebody is awaited."""
    running.wait(
        name,
        lambda said: said["state"] == "running" and said["round_number"] == number and said["awaited"],
        seconds=LONG,
    )


@contextmanager
def kept_alive(site: Site, name: str, *arguments: str) -> Iterator[None]:
    """One of the site's processes, started again whenever it ends, as systemd and `fedm2g site start` do."""
    site.kill(name)
    ended = threading.Event()

    def keep_alive() -> None:
        while not ended.is_set():
            process = site.processes.get(name)
            if process is None or process.poll() is not None:
                site.run_program(name, *arguments)
            ended.wait(0.5)

    thread = threading.Thread(target=keep_alive)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        site.kill(name)


@contextmanager
def supervised(site: Site, program: str, plan: dict[str, str]) -> Iterator[Path]:
    """The site's vault, run as `program` with a plan."""
    file = site.output / f"{site.name}-{program}.json"
    file.write_text(json.dumps(plan))
    with kept_alive(site, "vault", str(HERE / f"{program}.py"), str(file), "--site-dir", str(site.folder)):
        yield file
    site.start_vault()


# --- the vault dies ---------------------------------------------------------------------------------------------------


def test_a_vault_killed_at_any_moment_costs_no_round_and_its_ledger_counts_every_beginning(running: Federation) -> None:
    study = approved(running, "dying", rounds=4, privacy={"max_epsilon": 8.0, "spare_rounds": 1.0})
    moments = ("before-reserve", "after-reserve", "mid-step", "after-commit")
    plan = {f"align-{number}": moment for number, moment in enumerate(moments, start=1)}
    north, digest = running.sites["north"], study.digest(version=VERSION)
    with supervised(north, "dying_vault", plan) as file:
        start(running, "dying")
        running.wait_for_state("dying", "completed", "failed", "interrupted", seconds=LONG)
        died = {path.name for path in file.parent.glob("*.died")}
    assert len(died) == 4
    records = rounds_of(running, "dying")
    assert [record.accepted for record in records] == [ALL] * 4
    reserved = {name: reservations(site, digest) for name, site in running.sites.items()}
    assert reserved == {"north": [1, 2, 2, 1], "south": [1] * 4, "west": [1] * 4}
    reported = running.study_status("dying")["epsilon"]
    delta = study.privacy.delta_fraction / PATIENTS
    for name, site in running.sites.items():
        spent = site.ledger().epsilon_spent(delta=delta, study_digest=digest)
        assert spent <= reported[name] <= 1.002 * spent  # reported on the coarse grid: never too low
    assert reported["north"] > reported["south"]


def reservations(site: Site, digest: str) -> list[int]:
    """Beginnings that the ledger holds, by round."""
    counts: dict[int, int] = {}
    for entry in site.ledger().entries():
        if entry.kind == "reserved" and entry.study_digest == digest:
            number = int(entry.body["round_number"])
            counts[number] = counts.get(number, 0) + 1
    return [counts[number] for number in sorted(counts)]


# --- the way between dies ---------------------------------------------------------------------------------------------


def test_a_killed_app_process_and_a_supernode_restarted_at_once_lose_no_update(
    running: Federation,
) -> None:
    approved(running, "relays", rounds=2, privacy=PUBLIC)
    start(running, "relays")
    open_round(running, "relays", 1)
    os.kill(app_process(running, "south"), signal.SIGKILL)
    open_round(running, "relays", 2)
    time.sleep(1.0)
    running.sites["west"].kill("relay")
    running.sites["west"].start_relay()
    running.wait_for_state("relays", "completed", "failed", "interrupted", seconds=LONG)
    assert [record.accepted for record in rounds_of(running, "relays")] == [ALL] * 2


def test_superlink_killed_in_a_round_comes_back_and_the_study_goes_on(running: Federation) -> None:
    approved(running, "superlink", rounds=2, privacy=PUBLIC)
    start(running, "superlink")
    open_round(running, "superlink", 1)
    (superlink,) = running.children("server.consortium.superlink")
    os.kill(superlink, signal.SIGKILL)
    running.wait_for_state("superlink", "completed", "failed", "interrupted", seconds=LONG)
    assert [record.accepted for record in rounds_of(running, "superlink")] == [ALL] * 2


def test_a_network_that_is_cut_and_healed_loses_no_update(running: Federation) -> None:
    west = running.sites["west"]
    network = Network(running.port)
    settings = west.relay.read()
    west.relay.write(settings.model_copy(update={"superlink": f"localhost:{network.port}"}))
    try:
        with kept_alive(west, "relay", "-m", "client.supernode", "--relay-dir", str(west.relay.folder)):
            approved(running, "network", rounds=2, privacy=PUBLIC)
            start(running, "network")
            open_round(running, "network", 1)
            network.cut()
            time.sleep(20)
            network.heal()
            running.wait_for_state("network", "completed", "failed", "interrupted", seconds=LONG)
        assert [record.accepted for record in rounds_of(running, "network")] == [ALL] * 2
    finally:
        west.relay.write(settings)
        west.start_relay()
        network.close()


def app_process(running: Federation, name: str) -> int:
    """The relay process that works on a message of this site, once there is one."""
    port, end = str(running.sites[name].runtime_port), time.monotonic() + LONG
    while time.monotonic() < end:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode(errors="replace")
            except OSError:
                continue
            if "flwr-clientapp" in words and f"127.0.0.1:{port}" in words:
                return int(path.parent.name)
        time.sleep(0.02)
    raise AssertionError("no app process was seen")


# --- a site lies ------------------------------------------------------------------------------------------------------


def test_wrong_answers_are_dropped_by_name_and_the_others_go_on(running: Federation) -> None:
    lies = ("", "huge", "wrong-shapes", "another-round", "another-site", "no-groups", "nan", "full-disk")
    approved(running, "lies", rounds=len(lies), privacy={"max_epsilon": 8.0}, federation={"quorum": 2})
    plan = {f"align-{number}": lie for number, lie in enumerate(lies, start=1)}
    with supervised(running.sites["north"], "lying_vault", plan):
        start(running, "lies")
        running.wait_for_state("lies", "completed", "failed", "interrupted", seconds=2 * LONG)
    records = rounds_of(running, "lies")
    assert [str(record.sites["north"].status) for record in records] == [
        "accepted", "norm-exceeded", "wrong-shape", "replayed", "wrong-site", "missing-group", "site-failed",
        "site-failed",
    ]  # fmt: skip
    assert all({"south", "west"} <= set(record.accepted) for record in records)
    failure = running.study_status("lies")["last_failure"]
    assert (failure["site"], failure["status"]) == ("north", "site-failed") and failure["incident"]


def test_a_site_that_answers_nothing_costs_its_round_the_deadline_and_is_named(running: Federation) -> None:
    approved(running, "silent", rounds=1, privacy=PUBLIC, federation={"quorum": 2, "deadline_seconds": 120.0})
    with supervised(running.sites["north"], "lying_vault", {"align-1": "nothing"}):
        start(running, "silent")
        running.wait_for_state("silent", "completed", "failed", "interrupted", seconds=LONG)
    (record,) = rounds_of(running, "silent")
    assert (record.completed, str(record.sites["north"].status)) == (True, "no-reply")


# --- clocks, and two studies ------------------------------------------------------------------------------------------


def test_a_site_with_a_wrong_clock_does_not_join_and_is_named(running: Federation) -> None:
    west = running.sites["west"]
    west.kill("relay")
    try:
        west.run_program("relay", str(HERE / "wrong_clock.py"), "--relay-dir", str(west.relay.folder))
        west.processes["relay"].wait(timeout=600)  # Flower ends; its supervisor would try again
        approved(running, "clock", rounds=1, privacy=PUBLIC, federation={"quorum": 2})
        start(running, "clock", "--join-minutes", "0.2")
        said = running.wait_for_state("clock", "completed", "failed", "interrupted", seconds=LONG)
        assert set(said["missing"]) == {"west"}  # not heard of, or its relay failed, as the heartbeat has it
        assert rounds_of(running, "clock")[0].accepted == ["north", "south"]
    finally:
        west.processes.pop("relay", None)
        west.start_relay()


def test_a_second_study_waits_for_the_first_and_its_deadline_does_not_run_meanwhile(running: Federation) -> None:
    approved(running, "one", rounds=2, privacy=PUBLIC)
    approved(running, "two", rounds=1, privacy=PUBLIC)
    start(running, "one")
    open_round(running, "one", 1)
    start(running, "two")
    running.wait_for_state("two", "waiting for another study", seconds=LONG)
    assert running.study_status("one")["state"] == "running"
    running.wait_for_state("two", "completed", "failed", "interrupted", seconds=LONG)
    first, second = rounds_of(running, "one"), rounds_of(running, "two")
    assert [record.accepted for record in (*first, *second)] == [ALL] * 3
