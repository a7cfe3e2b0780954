"""The SuperNode's key, made at the hospital, and `SITE.json`, the only file that leaves it when it joins."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from client.site_config import PRIVATE_FILE
from client.site_setup import SiteUnusable
from privacy.keys import SiteKeys
from privacy.policy import SitePolicy
from protocol.enrolment import Enrolment
from protocol.version import VERSION


def make_node_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Make the key (P-384, OpenSSH text, mode 0600), or return the one that is there. Raises SiteUnusable."""
    if path.exists():
        return read_node_key(path)
    key = ec.generate_private_key(ec.SECP384R1())
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as stream:
        stream.write(text)
    return key


def read_node_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Raises SiteUnusable where the key is missing, damaged or readable by others."""
    try:
        if path.stat().st_mode & 0o077:
            raise SiteUnusable(f"Others may read {path}: set its mode to 0600, and think about who has.")
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        raise SiteUnusable(f"There is no node key at {path}: run `fedm2g site init` first.") from None
    except OSError as error:
        raise SiteUnusable(f"{path} cannot be read ({error.strerror}): run this as the relay's user.") from None
    except ValueError:
        raise SiteUnusable(f"{path} is damaged: remove it, run `fedm2g site enrol`, and be enrolled anew.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SiteUnusable(f"{path} is not a key on a NIST curve: remove it and run `fedm2g site enrol`.")
    return key


def public_text(key: ec.EllipticCurvePrivateKey) -> str:
    """One line of OpenSSH text."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def enrolment_of(policy: SitePolicy, keys: SiteKeys, node_key: ec.EllipticCurvePrivateKey) -> Enrolment:
    """What this site says of itself, signed with its ledger's key."""
    return Enrolment.signed(
        keys.signing_key.sign,
        name=policy.name,
        node_key=public_text(node_key),
        ledger_key=keys.public_key.hex(),
        version=VERSION,
        declared_patients=policy.declared_patients,
        declared_flows=policy.declared_flows,
    )
