"""The units and the container recipe: valid as far as this machine can tell, and closed where they claim to be."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2] / "deploy"
UNITS = {name: (ROOT / "systemd" / f"fedm2g-{name}.service").read_text() for name in ("vault", "relay")}


def settings(unit: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in UNITS[unit].splitlines() if re.match(r"^[A-Z]\w+=", line))


def test_systemd_takes_both_units() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    files = [str(path) for path in sorted((ROOT / "systemd").glob("*.service"))]
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "fedm2g-" in line and "is not executable" not in line]
    assert said == []


@pytest.mark.parametrize("unit", ["vault", "relay"])
def test_a_unit_has_a_user_of_its_own_and_no_way_to_more(unit: str) -> None:
    found = settings(unit)
    assert found["User"] == f"fedm2g-{unit}" and found["Group"] == "fedm2g"
    for name, value in {
        "ProtectSystem": "strict", "PrivateTmp": "yes", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "",
        "ProtectHome": "yes", "UMask": "0077", "LimitCORE": "0", "Restart": "always", "RestartPreventExitStatus": "4",
        "ProtectProc": "invisible",
    }.items():  # fmt: skip
        assert found[name] == value, name


def test_the_vault_has_no_network_and_the_relay_cannot_enter_its_folder() -> None:
    vault, relay = settings("vault"), settings("relay")
    assert vault["PrivateNetwork"] == "yes" and vault["RestrictAddressFamilies"] == "AF_UNIX"
    assert vault["RuntimeDirectoryMode"] == "0750"
    assert vault["ReadWritePaths"].startswith(relay["InaccessiblePaths"])
    assert not relay["ReadWritePaths"].startswith(relay["InaccessiblePaths"] + "/")


def test_the_commands_in_units_and_containers_exist() -> None:
    from client.commands import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    compose = yaml.safe_load((ROOT / "container" / "compose.site.yaml").read_text())["services"]
    for unit in UNITS:
        words = settings(unit)["ExecStart"].split()
        assert words[1:3] == ["site", unit] and unit in known
        assert compose[unit]["command"] == words[1:]


def test_the_containers_differ_in_user_and_only_the_relay_has_a_network() -> None:
    compose = yaml.safe_load((ROOT / "container" / "compose.site.yaml").read_text())["services"]
    vault, relay = compose["vault"], compose["relay"]
    assert vault["user"].split(":")[0] != relay["user"].split(":")[0]
    assert vault["user"].split(":")[1] == relay["user"].split(":")[1]
    assert vault["network_mode"] == "none" and "network_mode" not in relay and "ports" not in relay
    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in compose.values())
    assert not {entry.split(":")[0] for entry in relay["volumes"]} & {"site"}
