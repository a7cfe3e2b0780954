"""The relay: thin, without torch or records, and mute about whatever goes wrong behind it."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict

from client.relay import VaultLike, make_client_app
from protocol.codes import Code
from protocol.digests import digest_group
from protocol.records import (
    describe_request_to_record,
    description_from_record,
    reply_from_record,
    train_request_to_record,
)
from protocol.requests import DescribeRequest, SiteDescription, TrainReply, TrainRequest

PLANTED = "Erika Mustermann MRN 4711"
ARRAYS = {"alignment.xray.weight": np.ones((2, 3), np.float32)}


class Hospital:
    """A vault that answers, or breaks in a way that quotes a patient."""

    def __init__(self, breaks: Exception | None = None) -> None:
        self.breaks = breaks
        self.heard: list[TrainRequest] = []

    def describe(self, study_digest: str = "") -> SiteDescription:
        self._perhaps_break()
        return SiteDescription(site="north", studies=("0" * 64,))

    def train(self, request: TrainRequest) -> TrainReply:
        self._perhaps_break()
        self.heard.append(request)
        return TrainReply(
            code=Code.OK, site="north", inputs_digest=request.inputs_digest, updates={"alignment/xray": ARRAYS}
        )

    def _perhaps_break(self) -> None:
        if self.breaks is not None:
            raise self.breaks


@pytest.fixture
def ask(task_identity: None) -> Callable[..., RecordDict]:
    """Send one message to a relay and take the content of its reply."""

    def send(content: RecordDict, kind: str, vault_for: Callable[[Context], VaultLike]) -> RecordDict:
        message = Message(content, dst_node_id=1, message_type=kind)
        message.metadata.__dict__["_message_id"] = "m1"
        context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})
        reply = make_client_app(vault_for)(message, context)
        assert not reply.has_error()
        return reply.content

    return send


def training() -> TrainRequest:
    return TrainRequest(
        study_digest="0" * 64,
        stage="align",
        round_number=1,
        trains=("alignment/xray",),
        reads={"alignment/xray": digest_group(ARRAYS)},
        groups={"alignment/xray": ARRAYS},
    )


def test_importing_the_relay_imports_neither_torch_nor_records_nor_keys() -> None:
    rooms = ("torch", "medm2g", "privacy", "client.records", "client.vault", "server", "pydicom")
    program = f"import sys, client.relay; print([name for name in {rooms!r} if name in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_relay_says_who_the_site_is(ask: Callable[..., RecordDict]) -> None:
    content = ask(
        describe_request_to_record(DescribeRequest(study_digest="0" * 64)), MessageType.QUERY, lambda _: Hospital()
    )
    assert description_from_record(content).site == "north"


def test_a_relay_hands_the_request_over_and_the_release_back(ask: Callable[..., RecordDict]) -> None:
    vault, request = Hospital(), training()
    content = ask(train_request_to_record(request), MessageType.TRAIN, lambda _: vault)
    reply = reply_from_record(content, max_bytes=10_000)
    assert vault.heard[0].inputs_digest == request.inputs_digest == reply.inputs_digest
    assert np.array_equal(reply.updates["alignment/xray"]["alignment.xray.weight"], ARRAYS["alignment.xray.weight"])


@pytest.mark.parametrize("kind", [MessageType.QUERY, MessageType.TRAIN])
@pytest.mark.parametrize("where", ["opening", "answering"])
def test_an_exception_becomes_a_code_and_a_number_and_its_text_goes_nowhere(
    ask: Callable[..., RecordDict], kind: str, where: str, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    error = RuntimeError(f"bad slice of {PLANTED} in /data/4711.dcm")

    def vault_for(_: Context) -> VaultLike:
        if where == "opening":
            raise error
        return Hospital(error)

    asked = describe_request_to_record(DescribeRequest(study_digest="0" * 64))
    with caplog.at_level(logging.DEBUG):
        content = ask(train_request_to_record(training()) if kind == MessageType.TRAIN else asked, kind, vault_for)
    reply = reply_from_record(content, max_bytes=10_000)
    assert reply.code is Code.SITE_FAILED and len(reply.incident) == 12
    seen = caplog.text + "".join(capfd.readouterr()) + str({name: dict(part) for name, part in content.items()})
    assert PLANTED not in seen and "4711" not in seen.replace(reply.incident, "")
    assert reply.incident in caplog.text and "RuntimeError" in caplog.text


def test_a_message_outside_the_contract_never_reaches_the_vault(ask: Callable[..., RecordDict]) -> None:
    vault = Hospital()
    content = ask(RecordDict({"request": ConfigRecord({"run": "rm -rf /"})}), MessageType.TRAIN, lambda _: vault)
    assert reply_from_record(content, max_bytes=10_000).code is Code.MALFORMED
    assert vault.heard == []


def test_the_servers_run_configuration_cannot_point_a_vault_anywhere(
    task_identity: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from client.vault.errors import VaultMissing
    from client.vault.in_process import vault_of

    for name in ("FEDM2G_SITE_DIRS", "FEDM2G_GENERATOR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(VaultMissing):
        vault_of({"partition-id": 0})
    monkeypatch.setenv("FEDM2G_SITE_DIRS", str(tmp_path))
    with pytest.raises(VaultMissing, match="FEDM2G_GENERATOR"):
        vault_of({"partition-id": 0})
    with pytest.raises(VaultMissing, match="FEDM2G_SITE_DIRS"):
        vault_of({"partition-id": 1})
