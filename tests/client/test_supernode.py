"""The way to the coordinator, against a real SuperLink with TLS: the doctor's lines, and a start after a crash."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from client.doctor import network
from client.doctor.finding import State
from client.node_key import make_node_key, public_text
from client.relay_settings import RelayPlaces, RelaySettings
from client.site_setup import SiteUnusable
from client.supernode import ENDED, _fleet, _NodeIdKeeper, _only_one, command, environment, run, sign_off

BIN = Path(sys.executable).parent


def certify(folder: Path, *, days: int = 30) -> None:
    """A CA and a server certificate for 127.0.0.1, made afresh."""
    now = datetime.datetime.now(datetime.UTC)

    def made(
        name: str, issuer: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, *, ca: bool
    ) -> None:
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, issuer)]
        builder = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=40))
        builder = builder.not_valid_after(now + datetime.timedelta(days=days if not ca else 30))
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if not ca:
            addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        (folder / f"{name}.crt").write_bytes(builder.sign(by, hashes.SHA256()).public_bytes(Encoding.PEM))
        text = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        (folder / f"{name}.key").write_bytes(text)

    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    made("ca", "ca", authority, authority, ca=True)
    made("server", "ca", server, authority, ca=False)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def superlink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A SuperLink that demands node keys; its address and the folder of its certificates."""
    folder, port = tmp_path_factory.mktemp("superlink"), free_port()
    certify(folder)
    (folder / "secret").write_bytes(os.urandom(32))
    arguments = (
        f"--host 127.0.0.1 --port {port} --ssl-ca-certfile ca.crt --ssl-certfile server.crt --ssl-keyfile server.key"
        " --enable-supernode-auth --database state.db --isolation process --superexec-auth-secret-file secret"
        " --disable-runtime-dependency-installation"
    ).split()
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "FLWR_HOME": str(folder / "flower")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(BIN / "flower-superlink"), *arguments], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        _wait_for(port, folder, process)
        yield f"127.0.0.1:{port}", folder
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, folder: Path, process: subprocess.Popen[bytes]) -> None:
    end, trusted = time.monotonic() + 120, ssl.create_default_context(cafile=folder / "ca.crt")
    while True:
        try:
            httpx.get(f"https://127.0.0.1:{port}/health", verify=trusted, timeout=5)
            return
        except httpx.HTTPError:
            assert time.monotonic() < end and process.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)


@pytest.fixture
def places(tmp_path: Path, superlink: tuple[str, Path]) -> RelayPlaces:
    """A relay's folder that knows this coordinator."""
    address, folder = superlink
    places = RelayPlaces(tmp_path / "relay")
    places.write(RelaySettings(site="north", socket="/run/fedm2g/vault.sock", superlink=address))
    (places.folder / "ca.crt").write_bytes((folder / "ca.crt").read_bytes())
    make_node_key(places.node_key)
    return places


def register(places: RelayPlaces, superlink: tuple[str, Path]) -> None:
    """As the coordinator enrols a site: with Flower's own command."""
    address, folder = superlink
    (folder / "node.pub").write_text(public_text(make_node_key(places.node_key)) + "\n")
    home = folder / "operator"
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "it"\n[superlink.it]\naddress = "{address}"\nroot-certificates = "{folder}/ca.crt"\n'
    )
    command = [str(BIN / "flwr"), "supernode", "register", str(folder / "node.pub"), "it", "--name", "north"]
    subprocess.run(command, env=os.environ | {"FLWR_HOME": str(home)}, check=True, capture_output=True)


def by_name(places: RelayPlaces) -> dict[str, State]:
    return {finding.name: finding.state for finding in network.look(places)}


def test_the_doctor_goes_the_whole_way_and_says_who_is_not_enrolled(
    places: RelayPlaces, superlink: tuple[str, Path]
) -> None:
    found = by_name(places)
    assert found.pop("enrolled") is State.FAIL
    assert found == dict.fromkeys(("proxy", "DNS", "TCP", "TLS", "clock"), State.OK)


def test_a_node_that_was_killed_is_back_before_its_heartbeat_has_run_out(
    places: RelayPlaces, superlink: tuple[str, Path]
) -> None:
    from flwr.proto.fleet_pb2 import ActivateNodeRequest
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes

    register(places, superlink)
    settings = places.read()
    key = public_key_to_bytes(make_node_key(places.node_key).public_key())
    with _fleet(places, settings) as client:
        activate = ActivateNodeRequest(public_key=key, heartbeat_interval=30.0)
        node_id = client.ActivateNode(activate).node_id
        with pytest.raises(httpx.HTTPStatusError):
            client.ActivateNode(activate)  # stock Flower ends here and stays away
        assert by_name(places)["enrolled"] is State.OK  # and asking changes nothing
        places.node_id.write_text(str(node_id))
        assert sign_off(places, settings) is True
        assert client.ActivateNode(activate).node_id == node_id


def test_signing_off_where_nothing_is_known_changes_nothing(places: RelayPlaces) -> None:
    assert sign_off(places, places.read()) is False
    places.node_id.write_text("12345")
    assert sign_off(places, places.read()) is False


def test_the_node_id_is_kept_from_flowers_own_line(tmp_path: Path) -> None:
    import logging

    keeper = _NodeIdKeeper(tmp_path / "node_id")
    for text, arguments in (("SuperNode ID: %s", (17,)), ("Received SuperNode ID: %s of others", (18,))):
        assert keeper.filter(logging.LogRecord("flwr", 20, "", 0, text, arguments, None))
    assert (tmp_path / "node_id").read_text() == "17"


@pytest.mark.parametrize(
    ("fault", "line", "advice"),
    [
        ("another CA", "TLS", "ca.crt"),
        ("a name that the certificate lacks", "TLS", "address"),
        ("nobody there", "TCP", "outbound TCP"),
        ("no such name", "DNS", "/etc/hosts"),
    ],
)
def test_each_obstacle_is_named_with_what_to_do(
    places: RelayPlaces, tmp_path: Path, fault: str, line: str, advice: str
) -> None:
    settings = places.read()
    if fault == "another CA":
        certify(tmp_path)
        (places.folder / "ca.crt").write_bytes((tmp_path / "ca.crt").read_bytes())
    elif fault == "a name that the certificate lacks":
        places.write(settings.model_copy(update={"superlink": settings.superlink.replace("127.0.0.1", "localhost")}))
    elif fault == "nobody there":
        places.write(settings.model_copy(update={"superlink": f"127.0.0.1:{free_port()}"}))
    else:
        places.write(settings.model_copy(update={"superlink": "no-such-host.invalid:8000"}))
    last = network.look(places)[-1]
    assert (last.name, last.state) == (line, State.FAIL) and advice in last.do


def test_a_wrong_clock_is_a_failure_and_no_date_is_none() -> None:
    now = datetime.datetime.now(datetime.UTC)

    def at(seconds: float) -> str:
        return (now + datetime.timedelta(seconds=seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT")

    assert network.clock(at(0)).state is State.OK
    assert network.clock(at(-90)).state is network.clock(at(90)).state is State.FAIL
    assert "behind" in network.clock(at(90)).says and "ahead" in network.clock(at(-90)).says
    assert network.clock("").state is State.UNKNOWN


def test_the_hospitals_proxy_is_honoured_and_loopback_never_goes_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.hospital.example:3128")
    monkeypatch.setenv("NO_PROXY", "intern.example")
    address = network.Address.of("superlink.example:8000")
    assert address.first_hop == ("proxy.hospital.example", 3128) and "secret" not in network.proxy(address).says
    assert network.Address.of("intern.example:8000").first_hop == ("intern.example", 8000)
    assert environment(RelayPlaces(tmp_path))["NO_PROXY"].split(",") == ["intern.example", "127.0.0.1", "localhost"]


def test_flowers_arguments_are_outbound_tls_with_a_key_and_a_guarded_loopback(places: RelayPlaces) -> None:
    words = command(places, places.read())
    assert "--insecure" not in words and "--root-certificates" in words and "--auth-supernode-private-key" in words
    assert words[words.index("--host") + 1] == "127.0.0.1" and words[words.index("--isolation") + 1] == "process"
    assert words[-1] == 'site="north" vault-socket="/run/fedm2g/vault.sock"'
    places.node_key.chmod(0o644)
    with pytest.raises(SiteUnusable, match="0600"):
        command(places, places.read())


def test_two_supernodes_never_run_over_one_folder(places: RelayPlaces) -> None:
    first = _only_one(places.folder)
    with pytest.raises(SiteUnusable, match="runs over"):
        _only_one(places.folder)
    first.close()


def test_a_port_that_is_taken_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    places = RelayPlaces(tmp_path / "relay")
    make_node_key(places.node_key)
    (places.folder / "ca.crt").touch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        places.write(RelaySettings(site="north", socket="/run/vault.sock", superlink="localhost:1", runtime_port=port))
        assert run(places.folder) == ENDED
    assert f"Port {port}" in capfd.readouterr().err
