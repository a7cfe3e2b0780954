"""The consortium's own certificate authority, and the server's certificate under it. P-256, SHA-256.

Hospitals trust this authority and no other for the coordinator's port, so no public authority can be made to vouch for
somebody else. A server's certificate lives 398 days and carries every name and address by which it is reached.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.errors import ConsortiumUnusable

CA_DAYS = 3650
SERVER_DAYS = 398
#: Hospitals' clocks may be behind ours.
CLOCK_SKEW = timedelta(hours=1)
#: Executor and ServerApp connect over loopback, whatever the certificate is for.
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes


def make_authority(name: str) -> Pair:
    """A new authority, able to sign certificates and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    certificate = (
        _builder(subject, subject, key.public_key(), days=CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def make_server(authority: Pair, hosts: Sequence[str], *, days: float = SERVER_DAYS) -> Pair:
    """A server's certificate for these names and addresses, and loopback. Raises ConsortiumUnusable for a bad name."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    signing_key = load_pem_private_key(authority.key, password=None)
    if not isinstance(signing_key, ec.EllipticCurvePrivateKey):
        raise ConsortiumUnusable("tls/ca.key is not the key that `init` made: restore it from your backup.")
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([_general_name(host) for host in dict.fromkeys([*hosts, *LOOPBACK])])
    certificate = (
        _builder(_name("fedm2g coordinator"), issuer.subject, key.public_key(), days=days)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
        .sign(signing_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def days_left(certificate: bytes) -> float:
    """Until it expires; negative once it has."""
    end = x509.load_pem_x509_certificate(certificate).not_valid_after_utc
    return (end - datetime.now(UTC)) / timedelta(days=1)


def fingerprint(certificate: bytes) -> str:
    """SHA-256, as people compare it over the telephone: the first sixteen hex digits in groups of four."""
    digest = x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex()[:16]
    return "-".join(digest[first : first + 4] for first in range(0, 16, 4))


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, *, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - max(CLOCK_SKEW, timedelta(days=-2 * days)))
        .not_valid_after(now + timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host.encode("idna").decode())
    except (UnicodeError, ValueError):
        raise ConsortiumUnusable(
            f"{host} is neither a host name nor an address: give --host as hospitals reach it."
        ) from None


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
