"""The vault in the relay's own process: for simulation engines, where both belong to the same user anyway.

Which folders are a site's comes from its own operator (`node_config`: `site-dir`, `generator`) or from the environment
of the machine that simulates (`FEDM2G_SITE_DIRS`, one folder per site in the study's order, and `FEDM2G_GENERATOR`).
Never from the run configuration, which the server writes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from client.vault.errors import VaultMissing
from client.vault.vault import Vault
from privacy.allocator import keep_freed_memory

SITE_DIRS = "FEDM2G_SITE_DIRS"
GENERATOR = "FEDM2G_GENERATOR"

_vaults: dict[tuple[Path, int, Path], Vault] = {}
_opening = threading.Lock()


def vault_of(node_config: Mapping[str, Any]) -> Vault:
    """The vault of the site that this node is; opened once per process and site folder. Raises VaultMissing."""
    site_dir, generator = _site_dir(node_config).resolve(), _generator(node_config).resolve()
    made = site_dir.stat().st_ino if site_dir.is_dir() else 0
    with _opening:
        if (site_dir, made, generator) not in _vaults:
            keep_freed_memory()
            _vaults[site_dir, made, generator] = Vault(site_dir, generator_folder=generator)
        return _vaults[site_dir, made, generator]


def _site_dir(node_config: Mapping[str, Any]) -> Path:
    if configured := str(node_config.get("site-dir", "")):
        return Path(configured)
    folders = [folder for folder in os.environ.get(SITE_DIRS, "").split(os.pathsep) if folder]
    place = node_config.get("partition-id")
    if isinstance(place, int) and 0 <= place < len(folders):
        return Path(folders[place])
    raise VaultMissing(f"Nobody said where this site lies: set `site-dir` in the node configuration, or {SITE_DIRS}.")


def _generator(node_config: Mapping[str, Any]) -> Path:
    configured = str(node_config.get("generator", "")) or os.environ.get(GENERATOR, "")
    if not configured:
        raise VaultMissing(f"Nobody said where the generator lies: set `generator` in the node config, or {GENERATOR}.")
    return Path(configured)
