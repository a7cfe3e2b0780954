"""A site's SuperNode: `python -m client.supernode --relay-dir DIR`, or `fedm2g site relay --relay-dir DIR`.

Flower's own SuperNode in this process, started so that a hospital can live with it: outbound only, no telemetry, no
package installation, no update check; its loopback interface asks for a secret, so that nobody else on the machine
plays ClientApp; and a start right after a crash works. Stock Flower exits and stays away where its predecessor's
heartbeat has not run out yet; here the node signs itself off first, with the id that it kept.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from client.errors import ClientError
from client.node_key import read_node_key
from client.parent import FLAG, end_with_parent
from client.relay_settings import RelayPlaces, RelaySettings
from client.site_config import PRIVATE_FILE
from client.site_setup import SiteUnusable
from protocol.lock import take_lock
from protocol.offline import go_offline

POLL_SECONDS = 0.5
"""Flower's SuperNode looks for messages every 3 s; a round waits for it twice."""
REFUSED, ENDED = 4, 1
SECRET = "superexec.secret"


def command(places: RelayPlaces, settings: RelaySettings) -> list[str]:
    """Arguments of Flower's own `flower-supernode` for this site. Raises SiteUnusable."""
    if not settings.superlink:
        raise SiteUnusable("Nobody said where the coordinator is: run `fedm2g site connect` first.")
    read_node_key(places.node_key)
    return [
        "--superlink", settings.superlink,
        "--root-certificates", str(places.certificates(settings)),
        "--auth-supernode-private-key", str(places.node_key),
        "--host", "127.0.0.1", "--port", str(settings.runtime_port),
        "--isolation", "process", "--superexec-auth-secret-file", str(places.folder / SECRET),
        "--node-config", f"site={_toml(settings.site)} vault-socket={_toml(settings.socket)}",
    ]  # fmt: skip


def environment(places: RelayPlaces) -> dict[str, str]:
    """Variables of the SuperNode and everything that it starts; the hospital's proxy variables stay as they are."""
    beside = str(Path(sys.executable).parent)
    loopback = ",".join(dict.fromkeys([*filter(None, _no_proxy().split(",")), "127.0.0.1", "localhost"]))
    return {
        "FLWR_HOME": str(places.flower_home),
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",
        "PATH": os.pathsep.join([beside, os.environ.get("PATH", os.defpath)]),
        "NO_PROXY": loopback,
        "no_proxy": loopback,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the SuperNode until it is told to stop; what keeps it from starting is one sentence."""
    parser = argparse.ArgumentParser(prog="python -m client.supernode", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--relay-dir", type=Path, required=True, help="The relay's folder.")
    parser.add_argument(FLAG, action="store_true", help="End when whoever started this process is gone.")
    found = parser.parse_args(arguments)
    return run(found.relay_dir, with_parent=found.with_parent)


def run(relay_dir: Path, *, with_parent: bool = False) -> int:
    """See `main`. Flower ends the process itself: 0 when it was told to, 1 when it failed."""
    go_offline()
    if with_parent:
        end_with_parent()
    places = RelayPlaces(Path(relay_dir).resolve())
    try:
        settings = places.read()
        words = command(places, settings)
        only_one = _only_one(places.folder)
    except ClientError as error:
        print(error, file=sys.stderr, flush=True)
        return REFUSED
    if says := taken(settings.runtime_port):  # perhaps not for long: whoever keeps this process tries again
        print(says, file=sys.stderr, flush=True)
        only_one.close()
        return ENDED
    os.umask(0o077)
    os.environ.update(environment(places))
    _write_secret(places.folder / SECRET)
    sign_off(places, settings)
    executor = _start_executor(places, settings)
    code = ENDED
    try:
        _run_flower(places, words)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else ENDED
    except Exception:  # the relay has no records that its text could quote
        traceback.print_exc()
        print("The SuperNode failed inside; what happened stands above.", file=sys.stderr, flush=True)
    executor.terminate()
    only_one.close()
    # Flower gives up on some errors of TLS and then waits for its own threads for ever: nobody would start it again.
    os._exit(code)


def taken(port: int) -> str | None:
    """What to do where another process listens on this port of the loopback interface; None where the port is free."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            return (
                f"Port {port} of this machine's loopback cannot be had ({error.strerror}): set another `runtime_port` "
                "in relay.toml, or end what listens there."
            )
    return None


def sign_off(places: RelayPlaces, settings: RelaySettings) -> bool:
    """Tell the coordinator that our predecessor is gone, if it still counts it as online; whether it listened."""
    from flwr.proto.fleet_pb2 import DeactivateNodeRequest

    try:
        node_id = int(places.node_id.read_text())
        with _fleet(places, settings) as client:
            client.DeactivateNode(DeactivateNodeRequest(node_id=node_id))
    except Exception:  # not known there, not online, not reachable: Flower's own start tells which
        return False
    return True


def ask_whether_enrolled(places: RelayPlaces, settings: RelaySettings) -> bool | None:
    """Whether the coordinator knows this node's key; None where it does not take the signature. Changes nothing.

    Raises httpx's errors where there is no answer, PermissionError where the key is not ours to read.
    """
    import httpx
    from flwr.proto.fleet_pb2 import ActivateNodeRequest
    from flwr.supercore.error import ApiErrorCode, FlowerError
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes

    public_key = public_key_to_bytes(read_node_key(places.node_key).public_key())
    with _fleet(places, settings) as client:
        try:
            client.ActivateNode(ActivateNodeRequest(public_key=public_key, heartbeat_interval=0.0))
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.UNAUTHORIZED:
                return None
            found = FlowerError.from_json(error.response.text)
            if found is not None and found.code == ApiErrorCode.FLEET_INVALID_HEARTBEAT_INTERVAL:
                return True
            if found is not None and found.code == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED:
                return False
            raise
    raise RuntimeError("the coordinator activated a node for no time")


def _fleet(places: RelayPlaces, settings: RelaySettings) -> Any:
    """Flower's own client of the fleet API, signing as this node."""
    from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
    from flwr.supernode.fleet_http_client import FleetHttpClient
    from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

    key = read_node_key(places.node_key)
    return FleetHttpClient.from_server_address(
        settings.superlink,
        False,
        places.certificates(settings).read_bytes(),
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="SuperNode"),
            NodeAuthHttpInterceptor(key, key.public_key()),
        ],
    )


def _run_flower(places: RelayPlaces, words: list[str]) -> None:
    """Flower's SuperNode, with a shorter pause between looks and an ear for the node id that it is given."""
    from flwr.supernode import start_client_internal as internal
    from flwr.supernode.cli.flower_supernode import flower_supernode

    assert internal.time is time, "flwr's SuperNode keeps time in another way: adapt client/supernode.py"
    internal.time = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, POLL_SECONDS)))
    logging.getLogger("flwr").addFilter(_NodeIdKeeper(places.node_id))
    sys.argv = ["flower-supernode", *words]
    flower_supernode()


class _NodeIdKeeper(logging.Filter):
    """Keeps the id of the line `SuperNode ID: ...`; lets every line pass."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def filter(self, record: logging.LogRecord) -> bool:
        if found := re.fullmatch(r"SuperNode ID: (\d+)", record.getMessage()):
            self._path.write_text(found[1])
        return True


def _start_executor(places: RelayPlaces, settings: RelaySettings) -> subprocess.Popen[bytes]:
    """Flower's process that starts one app process per message; it ends when this process does."""
    return subprocess.Popen(
        [
            "flower-superexec", "--insecure", "--runtime-api-address", f"127.0.0.1:{settings.runtime_port}",
            "--superexec-auth-secret-file", str(places.folder / SECRET), "--parent-pid", str(os.getpid()),
        ]
    )  # fmt: skip


def _write_secret(path: Path) -> None:
    """A fresh secret for each start."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as stream:
        stream.write(secrets.token_bytes(32))


def _only_one(folder: Path) -> IO[bytes]:
    """A lock: two SuperNodes of one site would sign each other off."""
    if (lock := take_lock(folder / "relay.lock")) is None:
        raise SiteUnusable(f"A SuperNode runs over {folder} already: stop it first.")
    return lock


def _no_proxy() -> str:
    return os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


if __name__ == "__main__":
    sys.exit(main())
