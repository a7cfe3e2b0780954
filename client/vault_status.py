"""What the running vault tells the hospital's own people, over the operator's socket. True numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from client.socket_vault import SocketVault, VaultUnreachable
from client.vault.settings import operator_socket

SECONDS = 1.5


def vault_status(site_dir: Path) -> dict[str, Any]:
    """Whether the vault runs, and what it does now."""
    socket = operator_socket(site_dir)
    if not socket.exists():
        return {"running": False}
    try:
        status = SocketVault(socket, connect_seconds=SECONDS).status()
    except VaultUnreachable:
        return {"running": False}
    operator = status.operator
    values: dict[str, Any] = {
        "running": True,
        "busy": status.busy,
        "model_resident": operator.model_resident,
        "rounds_answered": operator.rounds_answered,
        "last_incident": operator.last_incident or None,
        "last_code": operator.last_code or None,
    }
    if status.busy:
        values["round"] = {
            "study": status.round.study_digest,
            "stage": status.round.stage,
            "round_number": status.round.round_number,
            "steps_taken": operator.steps_taken,
            "steps_planned": status.round.steps_planned,
            "seconds": round(operator.seconds_running, 1),
            "cancelling": operator.cancelling,
        }
    return values


def running_words(status: dict[str, Any]) -> list[str]:
    """The same for people."""
    if not status["running"]:
        return ["", "The vault does not run: `fedm2g site start`, or its systemd unit."]
    lines = ["", f"The vault runs; {status['rounds_answered']} rounds answered since it began."]
    if status["busy"]:
        now = status["round"]
        lines.append(
            f"  Now: study {now['study'][:12]}, {now['stage']} round {now['round_number']},"
            f" {now['steps_taken']} of {now['steps_planned']} step(s), {now['seconds']} s"
            f"{', being stopped' if now['cancelling'] else ''}."
        )
    if status["last_incident"]:
        lines.append(f"  Last incident: {status['last_incident']} ({status['last_code']}); incidents.log says more.")
    return lines
