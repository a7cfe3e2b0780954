"""Whatever fails at a site, and whoever quotes a patient while it does: a code and a number leave, and no text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from client.joining import join
from client.site_setup import create_site
from client.socket_vault import SocketVault, VaultUnreachable
from client.vault.settings import VaultSettings
from privacy.policy import SitePolicy
from protocol.codes import Code
from protocol.records import reply_from_record

ROOT = Path(__file__).resolve().parents[2]
PLANTED = "Mustermann_Erika_4711"
POLICY = {
    "name": "mercy", "declared_patients": 50, "max_patients": 100, "declared_flows": ["xray"], "max_epsilon": 8.0,
    "max_epsilon_per_study": 8.0, "max_delta": 1e-2, "allowed_stages": ["align"],
}  # fmt: skip

RELAY = """
import json, sys
from flwr.app import Context, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.task_identity import TaskIdentity
TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
from client.relay import app
from protocol.records import describe_request_to_record, train_request_to_record
from protocol.requests import DescribeRequest, TrainRequest
asked = {"query": describe_request_to_record(DescribeRequest(study_digest="0" * 64)),
         "train": train_request_to_record(TrainRequest(study_digest="0" * 64, stage="align", round_number=1,
                                                       trains=(), reads={}, groups={}))}
for kind, content in asked.items():
    message = Message(content, dst_node_id=1, message_type=kind)
    message.metadata.__dict__["_message_id"] = "m1"
    reply = app(message, Context(1, 1, {"site": "mercy", "vault-socket": sys.argv[1]}, RecordDict(), {}))
    assert not reply.has_error()
    sent = b"".join(part.deflate() for part in get_all_nested_objects(reply).values())
    print(json.dumps({"kind": kind, "reply": dict(reply.content["reply"]), "sent": sent.hex()}))
"""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one, because the path of a unix socket holds 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="fm") as folder:
        yield Path(folder)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site whose very folder bears a name, as exports of hospitals do."""
    from client.records.store import RecordStore

    folder = tmp_path / PLANTED
    policy = SitePolicy.from_dict(dict(POLICY))
    create_site(folder, policy)
    RecordStore.create(folder).close()
    settings = VaultSettings(socket=str(tmp_path / "run" / "vault.sock"))
    settings.write(folder)
    join(folder, policy, settings)
    return folder


@pytest.fixture
def planted(site: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start the daemon with one fault."""
    started: list[subprocess.Popen[str]] = []

    def start(fault: str) -> subprocess.Popen[str]:
        environment = os.environ | {"PLANTED": PLANTED, "FAULT": fault, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(Path(__file__).with_name("planted_vault.py")), str(site)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=environment, cwd="/", **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def run_relay(socket: Path) -> subprocess.CompletedProcess[str]:
    """The honest relay's process, as Flower would start it, for one query and one round."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", RELAY, str(socket)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize("fault", ["describe", "stage"])
def test_a_patient_quoted_by_third_parties_reaches_neither_message_nor_terminal(
    site: Path, planted: Callable[[str], subprocess.Popen[str]], fault: str, tmp_path: Path
) -> None:
    process, socket = planted(fault), tmp_path / "run" / "vault.sock"
    SocketVault(socket, connect_seconds=120).status()
    relay = run_relay(socket)
    replies = {line["kind"]: line for line in map(json.loads, relay.stdout.splitlines())}
    failed = replies["query" if fault == "describe" else "train"]["reply"]
    # In a query the relay itself makes the number; in a round it is the vault's, and its own log knows it.
    assert failed["code"] == Code.SITE_FAILED and len(failed["incident"]) == 12
    process.terminate()
    vault_said = "".join(process.communicate(timeout=120))
    left = relay.stdout + relay.stderr + vault_said.replace(f"/{PLANTED}", "")
    left += "".join(bytes.fromhex(line["sent"]).decode("latin-1") for line in replies.values())
    assert "Mustermann" not in left and "4711" not in left
    own = (site / "incidents.log").read_text() + (site / "vault.log").read_text()
    for text in (
        "slice of ",
        "ambiguous VR",
        "cannot decode",
        "invalid literal",
        "No such file",
        "\ndecoder: ",
        "native decoder: ",
    ):
        assert text in own, "it was planted, and the site's own files tell it"
    assert fault == "describe" or failed["incident"] in own


def test_a_vault_that_fails_at_its_start_says_the_class_alone(
    site: Path, planted: Callable[[str], subprocess.Popen[str]]
) -> None:
    out, err = planted("start").communicate(timeout=120)
    assert "The vault failed inside (RuntimeError)." in err and "Mustermann" not in (out + err).replace(
        f"/{PLANTED}", ""
    )


def test_the_sites_own_logs_are_closed_to_everybody_else(
    site: Path, planted: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    planted("describe")
    socket = tmp_path / "run" / "vault.sock"
    SocketVault(socket, connect_seconds=120).status()
    with pytest.raises(VaultUnreachable) as refused:
        SocketVault(socket).describe()
    assert "Mustermann" not in str(refused.value) and refused.value.__cause__ is None
    for name in ("incidents.log", "vault.log"):
        assert (site / name).stat().st_mode & 0o077 == 0


def test_planted_a_relay_that_passes_text_on_would_be_noticed() -> None:
    """The search above finds a name wherever it stands in a message: here is one that does carry it."""
    from protocol.records import reply_to_record
    from protocol.requests import TrainReply

    record = reply_to_record(TrainReply(code=Code.SITE_FAILED, site="mercy", inputs_digest="", incident=PLANTED))
    sent = b"".join(part.deflate() for part in record.values())
    assert PLANTED in sent.decode("latin-1") and reply_from_record(record, max_bytes=10_000).incident == PLANTED
