"""The machine: disk and its encryption, swap, GPU, versions."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from client.doctor.finding import Finding, fail, ok, unknown, warn
from protocol.version import VERSION

FREE_BYTES = 5_000_000_000
"""Replies, caches and the ledger of a study."""
PACKAGES = ("flwr", "torch", "grpcio", "protobuf", "cryptography")
NVIDIA_SECONDS = 4.0
_SYS_BLOCK = Path("/sys/dev/block")


def disk(folder: Path) -> Finding:
    """Room to write: a full disk ends rounds, though it loses no account."""
    free = shutil.disk_usage(folder).free
    says = f"{free / 1e9:.1f} GB free"
    if free < FREE_BYTES:
        return fail("disk", says, f"Make room: at least {FREE_BYTES / 1e9:.0f} GB on the disk of {folder}.")
    return ok("disk", says)


def encryption(folder: Path) -> Finding:
    """Whether the disk below `folder` is encrypted (dm-crypt below the file system)."""
    said = "The store is sealed with the site's key; that key, the ledger and the logs lie beside it in clear."
    below = encrypted_below(os.stat(folder).st_dev)
    if below is None:
        do = "Ask whoever runs the disk whether it is encrypted (LUKS, ZFS or the storage below)."
        return unknown("disk encryption", f"Cannot be told for this file system. {said}", do)
    if below:
        return ok("disk encryption", "dm-crypt lies below the site's folder")
    return warn("disk encryption", f"The disk is not encrypted. {said}", "Put the site's folder on an encrypted disk.")


def encrypted_below(device: int, *, sys_block: Path = _SYS_BLOCK) -> bool | None:
    """Whether a dm-crypt device lies at or below a device; None where the kernel does not list it."""
    start = sys_block / f"{os.major(device)}:{os.minor(device)}"
    if not start.exists():
        return None
    waiting = [start.resolve()]
    while waiting:
        place = waiting.pop()
        try:
            if (place / "dm" / "uuid").read_text().startswith("CRYPT-"):
                return True
        except OSError:
            pass
        waiting += [path.resolve() for path in (place / "slaves").glob("*")]
    return False


def swap(table: Path = Path("/proc/swaps")) -> Finding:
    """What is in memory may reach the disk by way of swap."""
    try:
        devices = [line.split()[0] for line in table.read_text().splitlines()[1:]]
    except OSError:
        return unknown("swap", "Cannot be told on this system.")
    plain = [device for device in devices if "zram" not in device and not _crypt_device(device)]
    if plain:
        do = "Turn swap off (swapoff -a), or encrypt it: images in memory may be written there in clear."
        return warn("swap", f"{len(plain)} swap area(s) without encryption", do)
    return ok("swap", "no swap in clear")


def _crypt_device(device: str) -> bool:
    try:
        return bool(encrypted_below(os.stat(device).st_rdev))
    except OSError:
        return False


def gpu() -> Finding:
    """A GPU is a matter of time only."""
    if shutil.which("nvidia-smi") is None:
        return ok("GPU", "none: training runs on the processor")
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.free", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=NVIDIA_SECONDS,
            check=True,
        ).stdout.split("\n")
    except (OSError, subprocess.SubprocessError):
        return warn("GPU", "nvidia-smi does not answer", "Look at the driver: training would run on the processor.")
    return ok("GPU", "; ".join(line.strip() for line in listed if line.strip()))


def versions() -> Finding:
    """What is installed; fedm2g must equal the study's version, the rest are as pinned."""
    found, missing = [f"fedm2g {VERSION}"], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return fail("versions", ", ".join(found), f"Install fedm2g again: {', '.join(missing)} is missing.")
    return ok("versions", ", ".join(found))
