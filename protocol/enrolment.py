"""`SITE.json`: the only file that leaves a hospital when it joins, and what the coordinator enrols it by.

Everything in it is public: a name, two public keys, what the site declares. It is signed with the ledger's key, so that
nobody changes it on the way without being noticed; that the file is the hospital's own, people check by reading each
other the fingerprint. A stolen `SITE.json` opens nothing: both private keys stay at the site.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from protocol.errors import EnrolmentInvalid

FORMAT = "fedm2g-site-1"
MAX_BYTES = 64_000
_HEX_KEY = r"^[0-9a-f]{64}$"


class Enrolment(BaseModel):
    """What a site says of itself to the coordinator. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["fedm2g-site-1"] = "fedm2g-site-1"
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    """The name under which the coordinator registers the node key."""
    node_key: Annotated[str, Field(max_length=1024)]
    """Public key of the site's SuperNode, one line of OpenSSH text on a NIST curve."""
    ledger_key: Annotated[str, Field(pattern=_HEX_KEY)]
    """Ed25519 public key, hex: signs this file, approvals and every ledger entry."""
    version: str
    """fedm2g at the site; it must equal the coordinator's."""
    declared_patients: Annotated[int, Field(ge=1)]
    declared_flows: tuple[str, ...]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
    """Ed25519 over `signed_bytes`."""

    @field_validator("node_key")
    @classmethod
    def _on_a_nist_curve(cls, text: str) -> str:
        key = load_ssh_public_key(text.encode())
        if not isinstance(key, EllipticCurvePublicKey):
            raise ValueError("the node's key must be on a NIST curve")
        return text

    @classmethod
    def signed(
        cls,
        sign: Callable[[bytes], bytes],
        *,
        name: str,
        node_key: str,
        ledger_key: str,
        version: str,
        declared_patients: int,
        declared_flows: tuple[str, ...],
    ) -> Self:
        """Made at the site; `sign` is its ledger key's. Raises EnrolmentInvalid."""
        values = {
            "name": name,
            "node_key": node_key,
            "ledger_key": ledger_key,
            "version": version,
            "declared_patients": declared_patients,
            "declared_flows": declared_flows,
        }
        signature = sign(_canonical(values | {"format": FORMAT})).hex()
        return cls._checked(values | {"signature": signature})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and verify `SITE.json`. Raises EnrolmentInvalid with one sentence that says what to do."""
        try:
            with Path(path).open("rb") as stream:
                content = stream.read(MAX_BYTES + 1)
            values = json.loads(content) if len(content) <= MAX_BYTES else None
        except OSError:
            raise EnrolmentInvalid(f"{path} cannot be read: give the SITE.json that the hospital sent.") from None
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise EnrolmentInvalid(f"{path} is not an enrolment file: ask the hospital for its SITE.json again.")
        return cls._checked(values)

    @classmethod
    def _checked(cls, values: dict[str, object]) -> Self:
        try:
            enrolment = cls.model_validate(values)
        except ValidationError as error:
            place = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the file"
            raise EnrolmentInvalid(
                f"In the enrolment file, {place} is not usable: ask the hospital for its SITE.json again."
            ) from None
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(enrolment.ledger_key))
            key.verify(bytes.fromhex(enrolment.signature), enrolment.signed_bytes)
        except (InvalidSignature, ValueError):
            raise EnrolmentInvalid(
                "The enrolment file was changed after the hospital signed it: ask the hospital for its SITE.json again."
            ) from None
        return enrolment

    @property
    def signed_bytes(self) -> bytes:
        """Canonical JSON of everything but the signature."""
        return _canonical(self.model_dump(mode="json", exclude={"signature"}))

    @property
    def fingerprint(self) -> str:
        """Short digest of the whole file, to be read out on the telephone: sixteen hex digits in groups of four."""
        digest = hashlib.sha256(self.signed_bytes).hexdigest()[:16]
        return "-".join(digest[first : first + 4] for first in range(0, 16, 4))

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=1) + "\n"


def _canonical(values: dict[str, object]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
