"""`SITE.json`: public, signed, and refused when anything in it was changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocol.enrolment import MAX_BYTES, Enrolment
from protocol.errors import EnrolmentInvalid


def ssh(key: object) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def enrolment() -> Enrolment:
    ledger = ed25519.Ed25519PrivateKey.generate()
    return Enrolment.signed(
        ledger.sign, name="north", node_key=ssh(ec.generate_private_key(ec.SECP384R1())), version="0.1.0",
        ledger_key=ledger.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex(), declared_patients=60,
        declared_flows=("xray", "text"),
    )  # fmt: skip


def written(path: Path, values: object) -> Path:
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def test_what_is_read_is_what_was_signed(enrolment: Enrolment, tmp_path: Path) -> None:
    read = Enrolment.read(written(tmp_path / "SITE.json", enrolment.to_json()))
    assert read == enrolment and read.fingerprint == enrolment.fingerprint and len(read.fingerprint) == 19


@pytest.mark.parametrize("field", ["name", "node_key", "ledger_key", "version", "declared_patients", "declared_flows"])
def test_one_changed_field_is_noticed(enrolment: Enrolment, tmp_path: Path, field: str) -> None:
    other = {"name": "south", "node_key": ssh(ec.generate_private_key(ec.SECP384R1())), "ledger_key": "ab" * 32,
             "version": "0.2.0", "declared_patients": 61, "declared_flows": ["xray"]}[field]  # fmt: skip
    values = json.loads(enrolment.to_json()) | {field: other}
    with pytest.raises(EnrolmentInvalid, match="was changed after the hospital signed it"):
        Enrolment.read(written(tmp_path / "SITE.json", values))


@pytest.mark.parametrize("change", [{"surprise": 1}, {"node_key": "ssh-rsa x"}, {"signature": "00"}, {"name": "../x"}])
def test_a_field_that_cannot_be_is_refused(enrolment: Enrolment, tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(EnrolmentInvalid, match="is not usable"):
        Enrolment.read(written(tmp_path / "SITE.json", json.loads(enrolment.to_json()) | change))


def test_a_node_key_that_flower_would_refuse_is_refused_here(enrolment: Enrolment, tmp_path: Path) -> None:
    change = {"node_key": ssh(ed25519.Ed25519PrivateKey.generate())}
    with pytest.raises(EnrolmentInvalid, match="node_key"):
        Enrolment.read(written(tmp_path / "SITE.json", json.loads(enrolment.to_json()) | change))


@pytest.mark.parametrize("text", ["", "[]", "not json", "x" * (MAX_BYTES + 1)])
def test_what_is_no_enrolment_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(EnrolmentInvalid, match="not an enrolment file"):
        Enrolment.read(written(tmp_path / "SITE.json", text))
    with pytest.raises(EnrolmentInvalid, match="cannot be read"):
        Enrolment.read(tmp_path / "absent.json")
