"""The coordinator before it is started: its folder, its certificates, who is enrolled, and which study may run."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tomli_w
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocol.enrolment import Enrolment
from protocol.errors import EnrolmentInvalid
from protocol.lock import take_lock
from protocol.version import VERSION
from server.consortium.certificates import LOOPBACK, days_left, make_server
from server.consortium.coordinator import Coordinator, only_one, running_coordinator
from server.consortium.enrolling import enrol, enrolled, expel, register_all
from server.consortium.launch import prepare
from server.consortium.operator import Operator
from server.consortium.places import ConsortiumPlaces, ConsortiumSettings, check_private
from server.consortium.setup import Pair, create_consortium, renew_certificate
from server.consortium.status import consortium_status, in_words
from server.errors import ConsortiumUnusable, GeneratorInvalid
from server.progress import INTERRUPTED, LOCK, RUNNING, STARTING, Progress, ProgressFile

SETTINGS = ConsortiumSettings(hosts=("coordinator.example", "192.0.2.1"), port=8443)


@pytest.fixture
def places(tmp_path: Path) -> ConsortiumPlaces:
    before = os.umask(0)  # what is private is so by its own mode
    try:
        return create_consortium(tmp_path / "consortium", SETTINGS)
    finally:
        os.umask(before)


def site_json(folder: Path, name: str = "north", **changes: Any) -> Path:
    """An honest SITE.json, from a hospital with keys of its own."""
    signing = Ed25519PrivateKey.generate()
    node = ec.generate_private_key(ec.SECP384R1()).public_key()
    public = signing.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    terms: dict[str, Any] = {
        "name": name,
        "node_key": node.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
        "ledger_key": public.hex(),
        "version": VERSION,
        "declared_patients": 100,
        "declared_flows": ("xray", "ct", "text"),
    }
    path = folder / f"{name}.json"
    path.write_text(Enrolment.signed(signing.sign, **terms | changes).to_json())
    return path


# --- the folder -------------------------------------------------------------------------------------------------------


def test_nothing_but_certificates_can_be_read_by_others(places: ConsortiumPlaces) -> None:
    public = {places.ca_certificate, places.certificate}
    for path in places.folder.rglob("*"):
        allowed = 0o644 if path in public else 0o700 if path.is_dir() else 0o600
        assert path.stat().st_mode & 0o777 == allowed, path
    assert places.folder.stat().st_mode & 0o777 == 0o700


def test_a_consortium_is_never_made_over_another(places: ConsortiumPlaces) -> None:
    before = {path: path.read_bytes() for path in places.folder.rglob("*") if path.is_file()}
    with pytest.raises(ConsortiumUnusable, match="already"):
        create_consortium(places.folder, SETTINGS)
    assert {path: path.read_bytes() for path in places.folder.rglob("*") if path.is_file()} == before


def test_a_bad_host_name_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConsortiumUnusable, match="neither a host name nor an address"):
        create_consortium(tmp_path / "c", ConsortiumSettings(hosts=("x" * 70 + ".example",)))
    assert not (tmp_path / "c").exists()


def test_a_secret_that_others_may_read_is_refused(places: ConsortiumPlaces) -> None:
    check_private(places.token)
    places.token.chmod(0o640)
    with pytest.raises(ConsortiumUnusable, match="Others may read"):
        check_private(places.token)


def test_settings_with_an_unknown_key_are_refused_by_name(places: ConsortiumPlaces) -> None:
    places.settings.write_text(places.settings.read_text() + "insecure = true\n")
    with pytest.raises(ConsortiumUnusable, match="insecure"):
        places.read()


# --- certificates -----------------------------------------------------------------------------------------------------


def handshake(places: ConsortiumPlaces, host: str, trusted: Path) -> str:
    """A real TLS handshake with the server's certificate, as a hospital's relay checks it."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(places.certificate, places.key)
    client = ssl.create_default_context(cafile=str(trusted))
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(ours, server_side=True).close()
        except (ssl.SSLError, OSError):
            ours.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(theirs, server_hostname=host) as channel:
            return str(channel.version())
    finally:
        theirs.close()
        thread.join()


def test_hospitals_accept_the_certificate_for_every_host_and_no_other(places: ConsortiumPlaces) -> None:
    for host in (*SETTINGS.hosts, *LOOPBACK):
        assert handshake(places, host, places.ca_certificate) == "TLSv1.3"
    for host in ("other.example", "192.0.2.2"):
        with pytest.raises(ssl.SSLCertVerificationError, match="match"):
            handshake(places, host, places.ca_certificate)


def test_another_authority_or_an_expired_certificate_is_refused(places: ConsortiumPlaces, tmp_path: Path) -> None:
    other = create_consortium(tmp_path / "other", SETTINGS)
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        handshake(places, "localhost", other.ca_certificate)
    authority = Pair(places.ca_certificate.read_bytes(), places.ca_key.read_bytes())
    old = make_server(authority, SETTINGS.hosts, days=-1)
    places.certificate.write_bytes(old.certificate)
    places.key.write_bytes(old.key)
    assert days_left(old.certificate) < 0
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(places, "localhost", places.ca_certificate)
    with pytest.raises(ConsortiumUnusable, match="expired.*--renew"):
        Coordinator(places)
    renew_certificate(places)
    assert handshake(places, "localhost", places.ca_certificate) == "TLSv1.3"


def test_the_servers_certificate_cannot_sign_another(places: ConsortiumPlaces) -> None:
    certificate = x509.load_pem_x509_certificate(places.certificate.read_bytes())
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    authority = x509.load_pem_x509_certificate(places.ca_certificate.read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and constraints.value.path_length == 0


# --- enrolment --------------------------------------------------------------------------------------------------------


def test_a_hospital_is_enrolled_once_and_the_same_file_changes_nothing(
    places: ConsortiumPlaces, tmp_path: Path
) -> None:
    path = site_json(tmp_path)
    assert enrol(places, path) == enrol(places, path)
    assert list(enrolled(places)) == ["north"]


def test_an_enrolled_name_takes_no_other_key_without_being_told(places: ConsortiumPlaces, tmp_path: Path) -> None:
    first = enrol(places, site_json(tmp_path))
    impostor = site_json(tmp_path)
    with pytest.raises(ConsortiumUnusable, match=f"another file .fingerprint {first.fingerprint}.*--replace"):
        enrol(places, impostor)
    assert enrolled(places)["north"] == first
    assert enrol(places, impostor, replace=True) != first


def test_one_key_is_not_two_hospitals(places: ConsortiumPlaces, tmp_path: Path) -> None:
    key = enrol(places, site_json(tmp_path)).node_key
    with pytest.raises(ConsortiumUnusable, match="north is enrolled with this key"):
        enrol(places, site_json(tmp_path, "south", node_key=key))


def test_a_changed_file_or_another_version_is_refused(places: ConsortiumPlaces, tmp_path: Path) -> None:
    path = site_json(tmp_path)
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"declared_patients": 9000}))
    with pytest.raises(EnrolmentInvalid, match="changed after the hospital signed it"):
        enrol(places, path)
    with pytest.raises(ConsortiumUnusable, match="runs fedm2g 0.0.9"):
        enrol(places, site_json(tmp_path, version="0.0.9"))
    assert enrolled(places) == {}


def test_an_expelled_hospital_is_forgotten(places: ConsortiumPlaces, tmp_path: Path) -> None:
    enrol(places, site_json(tmp_path))
    expel(places, "north")
    assert enrolled(places) == {}
    with pytest.raises(ConsortiumUnusable, match="not enrolled"):
        expel(places, "north")
    with pytest.raises(ConsortiumUnusable, match="not enrolled"):
        expel(places, "../operator")


# --- which study may run ----------------------------------------------------------------------------------------------


@pytest.fixture
def ready(
    places: ConsortiumPlaces, tmp_path: Path, generator_folder: Path
) -> Callable[..., tuple[ConsortiumPlaces, Path]]:
    """Two enrolled sites and a study over them; keywords replace sections of the study."""
    for name in ("north", "south"):
        enrol(places, site_json(tmp_path, name))

    def make(**changes: Any) -> tuple[ConsortiumPlaces, Path]:
        values: dict[str, Any] = {
            "name": "small",
            "generator": str(generator_folder),
            "flows": [{"name": "xray"}, {"name": "ct"}, {"name": "text", "kind": "text"}],
            "sites": [
                {"name": name, "flows": ["xray", "text"], "declared_patients": 100} for name in ("north", "south")
            ],
            "stages": [{"name": "align", "rounds": 1}],
            "federation": {"quorum": 2, "release_grid_seconds": 1.0},
        }
        path = tmp_path / "study.toml"
        path.write_text(tomli_w.dumps(values | changes))
        return places, path

    return make


def test_a_study_is_bound_to_the_generator_that_every_site_must_have(ready: Callable[..., Any]) -> None:
    study, folder = prepare(*ready())
    assert len(study.generator_digest) == 64
    assert folder.is_absolute()


NORTH_FLOW = {"name": "xray"}
NORTH = {"name": "north", "flows": ["xray"], "declared_patients": 100}
SOUTH = {"name": "south", "flows": ["xray"], "declared_patients": 100}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sites": [NORTH, SOUTH | {"name": "west"}]}, "names west, which is not enrolled"),
        (
            {"sites": [NORTH, SOUTH | {"declared_patients": 200}]},
            "south declares 200 patients; .* declares 100",
        ),
        (
            {"flows": [{"name": "pet"}, {"name": "xray"}], "sites": [NORTH, SOUTH | {"flows": ["pet"]}]},
            "does not declare",
        ),
        ({"federation": {"quorum": 2}}, "set federation.release_grid_seconds"),
    ],
)
def test_a_study_that_a_hospital_would_refuse_is_not_started(
    changes: dict[str, Any], sentence: str, ready: Callable[..., Any]
) -> None:
    with pytest.raises(ConsortiumUnusable, match=sentence):
        prepare(*ready(**changes))


def test_a_generator_without_the_studys_flows_is_told(ready: Callable[..., Any], generator_folder: Path) -> None:
    (generator_folder / "groups" / "alignment" / "xray.safetensors").unlink()
    with pytest.raises(GeneratorInvalid, match="no readable group alignment/xray"):
        prepare(*ready())


# --- what status tells ------------------------------------------------------------------------------------------------


def test_one_coordinator_runs_over_a_folder(places: ConsortiumPlaces) -> None:
    assert running_coordinator(places) is None
    with only_one(places):
        assert running_coordinator(places) == os.getpid()
        with pytest.raises(ConsortiumUnusable, match="runs over this folder already"):
            only_one(places)
    assert running_coordinator(places) is None


def test_a_run_whose_process_is_gone_without_a_word_is_interrupted_and_not_running(tmp_path: Path) -> None:
    lock = take_lock(tmp_path / LOCK)
    assert lock is not None
    said = ProgressFile(tmp_path, Progress(study="small"))
    said.say(state=RUNNING, stage="align", awaited=("north",))
    seen = Progress.read(tmp_path)
    assert seen is not None and (seen.state, seen.awaited) == (RUNNING, ("north",))
    lock.close()
    seen = Progress.read(tmp_path)
    assert seen is not None and (seen.state, seen.awaited, seen.stage) == (INTERRUPTED, (), "align")


def test_a_run_that_never_came_up_is_not_starting_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ProgressFile(tmp_path, Progress(study="small")).say(state=STARTING, message="x")
    seen = Progress.read(tmp_path)
    assert seen is not None and seen.state == STARTING
    monkeypatch.setattr("server.progress.START_SECONDS", 0.0)  # not the clock: other threads read it
    seen = Progress.read(tmp_path)
    assert seen is not None and seen.state == INTERRUPTED


def test_status_works_without_a_coordinator_and_says_so(ready: Callable[..., Any]) -> None:
    places, path = ready()
    study, _ = prepare(places, path)
    out = places.run("small")
    out.mkdir()
    (out / "study.toml").write_text(tomli_w.dumps(study.model_dump(mode="json", exclude_none=True)))
    outcomes = {
        "north": {"status": "accepted", "metrics": {"epsilon_spent": 1.25}},
        "south": {"status": "site-failed", "incident": "00ff"},
    }
    line = {"stage": "align", "round_number": 1, "completed": False, "learning_rate": 0.1, "seconds": 1.0}
    line |= {"training_seconds": None, "trained": {}, "sites": outcomes}
    (out / "rounds.jsonl").write_text(json.dumps(line) + "\n")
    ProgressFile(out, Progress(study="small")).say(state="failed", stage="align", message="Round 1 of align failed.")
    values = consortium_status(places)
    assert values["coordinator"] == "not running"
    assert [site["name"] for site in values["sites"]] == ["north", "south"]
    (seen,) = values["studies"]
    assert seen["last_failure"] == {
        "site": "south", "stage": "align", "round": 1, "status": "site-failed", "incident": "00ff",
    }  # fmt: skip
    assert seen["epsilon"] == {"north": 1.25, "south": None}
    words = in_words(values)
    for part in (
        "south, site-failed, incident 00ff",
        "north: epsilon 1.250",
        "Round 1 of align failed.",
        "not running",
    ):
        assert part in words


# --- what the coordinator registers -----------------------------------------------------------------------------------


class FakeControl:
    """Flower's control interface, as far as registering goes: a key is taken once, even after it was expelled."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []

    def ListNodes(self, _: Any) -> Any:  # noqa: N802
        return SimpleNamespace(nodes_info=self.nodes)

    def RegisterNode(self, request: Any) -> None:  # noqa: N802
        assert request.public_key not in [node.public_key for node in self.nodes]
        facts = {"node_id": len(self.nodes) + 1, "name": request.name, "public_key": request.public_key}
        self.nodes.append(SimpleNamespace(status="registered", **facts))

    def UnregisterNode(self, request: Any) -> None:  # noqa: N802
        self.nodes[request.node_id - 1].status = "unregistered"

    def names(self) -> list[str]:
        return sorted(node.name for node in self.nodes if node.status != "unregistered")


def test_the_nodes_that_may_connect_are_the_enrolled_sites_no_more_and_no_fewer(
    places: ConsortiumPlaces, tmp_path: Path
) -> None:
    control = FakeControl()
    files = {name: site_json(tmp_path, name) for name in ("north", "south")}
    for path in files.values():
        enrol(places, path)
    for _ in range(2):
        register_all(places, Operator(control))
        assert control.names() == ["north", "south"]
    enrol(places, site_json(tmp_path, "north"), replace=True)
    register_all(places, Operator(control))
    assert control.names() == ["north", "south"] and len(control.nodes) == 3
    expel(places, "south")
    register_all(places, Operator(control))
    assert control.names() == ["north"]
    enrol(places, files["south"])
    enrol(places, site_json(tmp_path, "west"))
    with pytest.raises(ConsortiumUnusable, match="The key of south was expelled"):
        register_all(places, Operator(control))
    assert control.names() == ["north", "west"]
