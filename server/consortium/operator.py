"""The operator's side of Flower's control interface: the few calls that we make, with the token, over TLS."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

from protocol.enrolment import Enrolment
from server.consortium.places import ConsortiumPlaces, check_private
from server.errors import ConsortiumUnusable, CoordinatorUnreachable

UNREGISTERED = "unregistered"


@dataclass(frozen=True)
class NodeState:
    """One registered node."""

    node_id: int
    name: str
    status: str
    """`registered` (never seen), `online`, `offline`, or `unregistered` for good."""
    public_key: bytes


class Operator:
    """Calls on the running coordinator; made by `operator`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def nodes(self) -> list[NodeState]:
        """Every node that is registered."""
        return [node for node in self._all_nodes() if node.status != UNREGISTERED]

    def _all_nodes(self) -> list[NodeState]:
        from flwr.proto.control_pb2 import ListNodesRequest

        return [
            NodeState(node.node_id, node.name, node.status, node.public_key)
            for node in self._client.ListNodes(ListNodesRequest()).nodes_info
        ]

    def register(self, enrolment: Enrolment) -> None:
        """Register a site's node key under its name; one that is there stays. Raises ConsortiumUnusable."""
        from flwr.proto.control_pb2 import RegisterNodeRequest

        key = key_bytes(enrolment)
        for node in self._all_nodes():
            if node.public_key == key and node.status == UNREGISTERED:
                raise ConsortiumUnusable(
                    f"The key of {enrolment.name} was expelled, and no key is taken twice: ask the hospital to remove "
                    "its node_key, run `fedm2g site enrol`, and send its SITE.json for `enroll --replace`."
                )
            if node.public_key == key:
                if node.name != enrolment.name:
                    raise ConsortiumUnusable(
                        f"The key of {enrolment.name} is registered as {node.name} already: ask the hospital for a key "
                        "of its own."
                    )
                return
            if node.name == enrolment.name and node.status != UNREGISTERED:
                self.unregister(node.node_id)
        self._client.RegisterNode(RegisterNodeRequest(public_key=key, name=enrolment.name))

    def unregister(self, node_id: int) -> None:
        """The node's key opens nothing from now on."""
        from flwr.proto.control_pb2 import UnregisterNodeRequest

        self._client.UnregisterNode(UnregisterNodeRequest(node_id=node_id))

    def start_run(self, fab: bytes, config: dict[str, str | bool | float]) -> int:
        """Start a ServerApp from a bundle; the run's id."""
        from flwr.common.serde import fab_to_proto, user_config_to_proto
        from flwr.proto.control_pb2 import StartRunRequest
        from flwr.supercore.fab import Fab

        bundle = Fab(hashlib.sha256(fab).hexdigest(), fab, {})
        answer = self._client.StartRun(
            StartRunRequest(fab=fab_to_proto(bundle), override_config=user_config_to_proto(config), federation="")
        )
        if not answer.HasField("run_id"):
            raise CoordinatorUnreachable("The coordinator did not start the run: look into coordinator.log.")
        return int(answer.run_id)

    def stop_run(self, run_id: int) -> None:
        """Stop a ServerApp; a run that has ended stays as it is."""
        from flwr.proto.control_pb2 import StopRunRequest

        self._client.StopRun(StopRunRequest(run_id=run_id))


@contextmanager
def operator(places: ConsortiumPlaces) -> Iterator[Operator]:
    """The running coordinator. Raises CoordinatorUnreachable with what to do, and ConsortiumUnusable."""
    from flwr.supercore.control import ControlHttpClient
    from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

    settings = places.read()
    check_private(places.token)
    bearer = _Bearer(places.token.read_text().strip())
    client = ControlHttpClient(
        f"https://{settings.local_address}",
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI"), bearer],
        verify=_trusting(places.ca_certificate),
    )
    client._client.close()
    client._client = httpx.Client(verify=_trusting(places.ca_certificate), timeout=30.0, trust_env=False)
    try:
        yield Operator(client)
    except httpx.TransportError as error:
        raise CoordinatorUnreachable(
            f"The coordinator does not answer on {settings.local_address} ({type(error).__name__}): start it with "
            "`fedm2g consortium start`, or look into coordinator.log."
        ) from None
    except httpx.HTTPStatusError as error:
        raise CoordinatorUnreachable(
            f"The coordinator refused ({error.response.status_code}): {_sentence(error.response)}"
        ) from None
    finally:
        client.close()


class _Bearer:
    """Puts the token on every request; prints as nothing."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __repr__(self) -> str:
        return "_Bearer(...)"

    def intercept(self, context: Any, call_next: Any) -> httpx.Response:
        context.request.headers["authorization"] = f"Bearer {self._token}"
        return call_next(context)  # type: ignore[no-any-return]


def key_bytes(enrolment: Enrolment) -> bytes:
    """The node key as Flower keeps it: PEM, subject public key info."""
    key = load_ssh_public_key(enrolment.node_key.encode())
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _trusting(authority: Path) -> Any:
    import ssl

    return ssl.create_default_context(cafile=str(authority))


def _sentence(response: httpx.Response) -> str:
    try:
        values = response.json()
        return str(values.get("public_details") or values.get("message") or values.get("detail"))[:300]
    except ValueError:
        return "look into coordinator.log."
