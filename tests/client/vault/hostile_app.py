"""A ClientApp that a server pushed and that means harm, run as the relay's user. Started by test_hostile_app.py.

Prints one JSON object: what it tried, and what it got. argv: a JSON file that says where things are.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from client.relay import app as honest_relay
from client.socket_vault import SocketVault
from protocol import vault_pb2 as pb
from protocol import vault_pb2_grpc
from protocol.digests import digest_group
from protocol.records import describe_request_to_record, reply_from_record, train_request_to_record
from protocol.requests import DescribeRequest, TrainRequest
from protocol.vault_wire import request_parts

TOLD = json.loads(Path(sys.argv[1]).read_text())
SITE, SOCKET, VAULT_PROCESS = Path(TOLD["site"]), Path(TOLD["socket"]), TOLD["process"]
NOISE_OFF = {"noise_multiplier": 0.0, "clipping_norm": 1e9, "privacy.enabled": False, "sampling_probability": 1.0}

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """The honest relay's place; everything below runs with its rights."""
    found = {"as": os.getuid(), "capabilities": _capabilities()}
    found |= {name: _tried(act) for name, act in ATTEMPTS.items() if name in (TOLD["only"] or ATTEMPTS)}
    return Message(RecordDict({"found": ConfigRecord({"json": json.dumps(found)})}), reply_to=message)


def _tried(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except grpc.RpcError as error:
        return f"rpc {error.code().name}"
    except Exception as error:
        return type(error).__name__


# --- the file system and the process ----------------------------------------------------------------------------------


def _capabilities() -> str:
    return Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0].strip("0")


def _read_all() -> list[str]:
    """Every file of the site that opens."""
    known = ("site.toml", "vault.toml", "ledger.sqlite", "incidents.log", "keys/signing.key", "keys/storage.key",
             "records/index.sqlite", "state/rounds.sqlite")  # fmt: skip
    opened = []
    for path in (*known, *TOLD["blocks"]):
        try:
            (SITE / path).read_bytes()
            opened.append(path)
        except OSError:
            pass
    return opened


def _memory() -> str:
    with open(f"/proc/{VAULT_PROCESS}/mem", "rb") as memory:
        return f"read {len(memory.read(1))}"


def _trace() -> str:
    traced = ctypes.CDLL(None, use_errno=True).ptrace(16, VAULT_PROCESS, 0, 0)  # PTRACE_ATTACH
    return "attached" if traced == 0 else os.strerror(ctypes.get_errno())


# --- the socket -------------------------------------------------------------------------------------------------------


def _arrays() -> dict[str, dict[str, np.ndarray]]:
    """Parameters of its own choice: all zero, so that a patient's gradient would be plain to see."""
    return {
        group: {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        for group, shapes in TOLD["shapes"].items()
    }


def _request(**changes: Any) -> TrainRequest:
    groups = _arrays()
    fields = {"study_digest": TOLD["study"], "stage": "align", "round_number": 1, "trains": tuple(groups)} | changes
    reads = {name: digest_group(arrays) for name, arrays in groups.items()}
    return TrainRequest(**{"reads": reads, "groups": groups} | fields)


def _ask(**changes: Any) -> dict[str, Any]:
    reply = SocketVault(SOCKET).train(_request(**changes))
    values = [array.ravel() for arrays in reply.updates.values() for array in arrays.values()]
    told = {"code": str(reply.code), "metrics": sorted(reply.metrics), "groups": sorted(reply.updates)}
    if values:
        released = np.concatenate(values)
        told |= {"std": float(released.std()), "bytes": base64.b64encode(released[:64].tobytes()).decode()}
    return told


def _forge() -> dict[str, Any]:
    """Privacy settings in fields that the contract does not have, below the relay's own code."""
    parts = list(request_parts(_request()))
    header = parts[0].header.SerializeToString() + b"\xa1\x06" + np.float64(0.0).tobytes()  # field 100, a double
    forged = [pb.TrainPart(header=pb.TrainHeader.FromString(header)), *parts[1:]]
    with grpc.insecure_channel(f"unix:{SOCKET}") as channel:
        events = list(vault_pb2_grpc.VaultStub(channel).Train(iter(forged)))
    return {"code": next(event.reply.code for event in events if event.WhichOneof("event") == "reply")}


def _forge_in_the_message() -> dict[str, Any]:
    """The same through the honest relay: more keys in the server's record, and a run configuration."""
    content = train_request_to_record(_request())
    content["request"].update(NOISE_OFF)  # type: ignore[union-attr]
    reply = reply_from_record(_through_relay(content, MessageType.TRAIN), max_bytes=10**9)
    values = np.concatenate([array.ravel() for arrays in reply.updates.values() for array in arrays.values()])
    return {"code": str(reply.code), "std": float(values.std())}


def _through_relay(content: RecordDict, kind: str) -> RecordDict:
    message = Message(content, dst_node_id=1, message_type=kind)
    message.metadata.__dict__["_message_id"] = "m2"
    configuration = {"site": "north", "vault-socket": str(SOCKET)}
    return honest_relay(message, _context(configuration, dict(NOISE_OFF, **{"site-dir": str(SITE)}))).content


def _context(node: dict[str, Any], run: dict[str, Any]) -> Context:
    return Context(run_id=1, node_id=1, node_config=node, state=RecordDict(), run_config=run)


def _describe() -> dict[str, Any]:
    found = SocketVault(SOCKET).describe("0" * 64)
    return {"studies": found.studies, "held": sorted(found.groups_held)}


def _status() -> list[str]:
    return [field.name for field, _ in SocketVault(SOCKET).status().ListFields()]


ATTEMPTS: dict[str, Callable[[], Any]] = {
    "files": _read_all,
    "folder": lambda: os.listdir(SITE),
    "operator socket": lambda: SocketVault(SITE / "state" / "operator.sock", connect_seconds=0.5).cancel(),
    "memory": _memory,
    "trace": _trace,
    "kill": lambda: os.kill(VAULT_PROCESS, signal.SIGKILL),
    "replace the socket": lambda: SOCKET.unlink(),
    "beside the socket": lambda: (SOCKET.parent / "other.sock").write_text(""),
    "cancel": lambda: SocketVault(SOCKET).cancel(),
    "describe another study": _describe,
    "status": _status,
    "first round": _ask,
    "the same again": _ask,
    "forged settings": _forge,
    "forged settings in the message": _forge_in_the_message,
    "the same round with other inputs": lambda: _ask(reads=dict.fromkeys(TOLD["shapes"], "0" * 64)),
    "a round more": lambda: _ask(round_number=2),
    "round zero": lambda: _ask(round_number=0),
    "another stage": lambda: _ask(stage="guide"),
    "another study": lambda: _ask(study_digest="f" * 64),
    "a path as study": lambda: _ask(study_digest="../../keys/signing"),
    "undeclared groups": lambda: _ask(trains=("alignment/ct",)),
    "no groups": lambda: _ask(trains=()),
}


def main() -> None:
    """Warm up as root, then become the relay's user for good, and be called as Flower calls an app."""
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
    _through_relay(describe_request_to_record(DescribeRequest(study_digest="0" * 64)), MessageType.QUERY)
    if TOLD["user"]:
        os.setgroups([TOLD["group"]])
        os.setgid(TOLD["user"])
        os.setuid(TOLD["user"])
    message = Message(RecordDict(), dst_node_id=1, message_type=MessageType.TRAIN)
    message.metadata.__dict__["_message_id"] = "m1"
    print(app(message, _context({"site": "north"}, {})).content["found"]["json"])


if __name__ == "__main__":
    main()
