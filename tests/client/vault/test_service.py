"""What the relay's socket shows while a round runs, and what never passes it: asked of the service in this process."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from client.socket_vault import SocketVault, VaultUnreachable
from client.vault import daemon, sockets
from client.vault.errors import DaemonRefused
from client.vault.resident import ResidentVault
from client.vault.service import MAX_WAITING, OperatorService, VaultService
from client.vault.vault import Vault
from protocol import vault_pb2 as pb
from protocol import vault_pb2_grpc
from protocol.codes import Code
from protocol.requests import TrainReply, TrainRequest
from protocol.study import Study
from protocol.vault_wire import request_parts

PLANTED = "Mustermann^Erika 4711"
LIMIT = 50_000_000


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    return make_study(federation={"release_grid_seconds": 0.4})


@pytest.fixture
def site(make_site: Callable[..., Any], study: Study) -> Any:
    site = make_site()
    vault = site.vault(deployment=True)
    vault.approve(study)
    return site


@pytest.fixture
def served(site: Any, tmp_path: Path) -> Iterator[tuple[ResidentVault, Path, Path]]:
    """A resident vault behind both sockets, in this process; no round is ever trained here."""
    vault = ResidentVault(site.folder, generator_folder=site.generator_folder)
    paths = tmp_path / "relay.sock", tmp_path / "operator.sock"
    servers = []
    for path, service in zip(paths, (VaultService, OperatorService), strict=True):
        server = daemon._server(service(vault, max_request_bytes=LIMIT))
        sockets.bind(server, path, umask=0o177)
        server.start()
        servers.append(server)
    yield vault, *paths
    for server in servers:
        server.stop(0).wait()
    vault.close()


def stub(path: Path) -> vault_pb2_grpc.VaultStub:
    return vault_pb2_grpc.VaultStub(grpc.insecure_channel(f"unix:{path}"))


def reply_of(request: TrainRequest) -> TrainReply:
    return TrainReply(code=Code.OK, site="north", inputs_digest=request.inputs_digest)


def test_a_turn_lasts_until_the_reply_leaves_so_that_polling_tells_nothing(
    served: Any, study: Study, make_request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, relay, operator = served
    trained, tick, seen = threading.Event(), threading.Event(), []

    def fast(self: Vault, request: TrainRequest) -> TrainReply:
        trained.set()
        return reply_of(request)

    monkeypatch.setattr(Vault, "_train", fast)
    monkeypatch.setattr(Vault, "_wait_for_release", lambda *_: tick.wait(20))
    asking = threading.Thread(target=lambda: seen.append(SocketVault(relay).train(make_request(study, "align"))))
    asking.start()
    assert trained.wait(10)
    status = SocketVault(relay).status()  # trained already, and not told: the reply has not left
    assert asking.is_alive() and status.busy and status.round.steps_planned == 1
    assert not status.HasField("operator")
    tick.set()
    asking.join()
    assert seen[0].code is Code.OK
    assert not SocketVault(relay).status().busy and SocketVault(operator).status().operator.rounds_answered == 1


def test_only_the_operators_socket_cancels(served: Any) -> None:
    _, relay, operator = served
    with pytest.raises(grpc.RpcError) as refused:
        stub(relay).Cancel(pb.CancelRequest())
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(VaultUnreachable):
        SocketVault(relay).cancel()
    assert SocketVault(operator).cancel() is False


def test_a_second_round_waits_for_its_turn_and_a_crowd_is_refused(
    served: Any, study: Study, make_request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, relay, _ = served
    go, began, order = threading.Event(), threading.Event(), []

    def slow(self: Vault, request: TrainRequest) -> TrainReply:
        order.append(request.round_number)
        began.set()
        assert go.wait(20)
        return reply_of(request)

    monkeypatch.setattr(Vault, "_train", slow)
    monkeypatch.setattr(Vault, "_wait_for_release", lambda *_: None)
    request, streams = make_request(study, "align"), []
    for _ in range(1 + MAX_WAITING):
        streams.append(stub(relay).Train(request_parts(request)))
        streams[-1].first = next(streams[-1])
    assert [stream.first.progress.waiting for stream in streams] == [False] + [True] * MAX_WAITING
    with pytest.raises(grpc.RpcError) as refused:
        list(stub(relay).Train(request_parts(request)))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert began.wait(20) and len(order) == 1  # it is told of its turn before it takes it
    go.set()
    assert all(list(stream)[0].reply.code == "ok" for stream in streams) and len(order) == 1 + MAX_WAITING


def test_no_text_of_an_exception_reaches_the_caller(
    served: Any, site: Any, study: Study, make_request: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    _, relay, _ = served

    def breaks(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"bad slice of {PLANTED}")

    for method in ("describe", "stage", "train"):
        with monkeypatch.context() as planted:
            planted.setattr(Vault, method, breaks)
            if method == "describe":
                with pytest.raises(grpc.RpcError) as refused:
                    stub(relay).Describe(pb.DescribeRequest())
                said = f"{refused.value.details()} {refused.value.trailing_metadata()} {refused.value!r}"
            else:
                reply = SocketVault(relay).train(make_request(study, "align"))
                assert reply.code is Code.SITE_FAILED and len(reply.incident) == 12
                said = repr(reply)
            assert "site-failed" in said or "SITE_FAILED" in said
            assert "Mustermann" not in said and "4711" not in said
    assert "Mustermann" not in "".join(capfd.readouterr())
    log = (site.folder / "incidents.log").read_text()
    assert log.count("bad slice of Mustermann^Erika 4711") >= 3


def test_what_is_not_approved_or_too_large_is_refused_by_its_header(
    served: Any, study: Study, make_study: Any, make_request: Any
) -> None:
    _, relay, _ = served

    def header_alone(request: TrainRequest) -> Iterator[pb.TrainPart]:
        yield next(request_parts(request))
        raise AssertionError("an array was asked for")

    def code_of(request: TrainRequest, **changes: Any) -> str:
        part = next(request_parts(request))
        if changes:
            part.header.tensors[0].bytes = changes["bytes"]
        return next(stub(relay).Train(iter([part]))).reply.code

    assert code_of(make_request(make_study(name="another"), "align")) == "study-unknown"
    assert code_of(make_request(study, "align"), bytes=LIMIT + 1) == "malformed"
    assert next(stub(relay).Train(iter([pb.TrainPart(piece=b"x")]))).reply.code == "malformed"


def test_a_policy_that_was_edited_holds_from_the_next_round_on(
    served: Any, site: Any, study: Study, make_request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, relay, _ = served
    monkeypatch.setattr(Vault, "_wait_for_release", lambda *_: None)
    policy = site.folder / "site.toml"
    text = policy.read_text()
    policy.write_text(text.replace("max_epsilon_per_study = 8.0", "max_epsilon_per_study = 2.0"))
    assert SocketVault(relay).train(make_request(study, "align")).code is Code.POLICY_REFUSED
    policy.write_text("name = ")
    assert SocketVault(relay).train(make_request(study, "align")).code is Code.SITE_FAILED


def test_a_socket_folder_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "run"
    sockets.prepare_folder(made)
    assert made.stat().st_mode & 0o7777 == 0o2750
    for mode in (0o755, 0o751, 0o770):
        made.chmod(mode)
        with pytest.raises(DaemonRefused, match="open to others"):
            sockets.prepare_folder(made)
    with pytest.raises(DaemonRefused, match="no group called"):
        sockets.prepare_folder(tmp_path / "other", group="no-such-group")


class _Server:
    """Of gRPC's server, what binds a socket; remembers the mode that it was born with."""

    def __init__(self) -> None:
        self.modes: list[int] = []

    def add_insecure_port(self, address: str) -> int:
        path = Path(address.removeprefix("unix:"))
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
        self.modes.append(path.stat().st_mode & 0o777)
        return 1


def test_the_socket_has_its_mode_from_the_moment_it_exists(tmp_path: Path) -> None:
    server = _Server()
    sockets.bind(server, tmp_path / "a.sock", umask=sockets.RELAY_UMASK)  # type: ignore[arg-type]
    sockets.bind(server, tmp_path / "b.sock", umask=sockets.OPERATOR_UMASK)  # type: ignore[arg-type]
    assert server.modes == [0o660, 0o600]
    with pytest.raises(DaemonRefused, match="shorter `socket`"):
        sockets.bind(server, tmp_path / ("x" * 120), umask=0o177)  # type: ignore[arg-type]


def test_two_vaults_never_run_over_one_site(site: Any) -> None:
    first = daemon._only_one(site.folder)
    with pytest.raises(DaemonRefused, match="runs over"):
        daemon._only_one(site.folder)
    first.close()
    daemon._only_one(site.folder).close()


def test_the_relays_socket_alone_takes_the_group_of_its_folder(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to a group it is not in")
    os.chown(tmp_path, -1, 64123)
    for name, umask in (("relay", sockets.RELAY_UMASK), ("operator", sockets.OPERATOR_UMASK)):
        sockets.bind(_Server(), tmp_path / name, umask=umask)  # type: ignore[arg-type]
    assert [(tmp_path / name).stat().st_gid for name in ("relay", "operator")] == [64123, os.getegid()]
