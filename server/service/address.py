"""Where the service listens, and under which names: loopback in the open, anything else only with TLS.

The names are what a Host header may say. Beside the loopback names they are those of the certificate, so that a page
of somebody else cannot point its own name at this service and speak to it (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from server.service.errors import HostUnknown, StartRefused

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Tls:
    """PEM files of this service."""

    certificate: Path
    """With its chain."""
    key: Path


@dataclass(frozen=True)
class Address:
    """An IP address, whether it is spoken to through TLS, and the names that callers may use."""

    ip: str
    tls: Tls | None
    names: frozenset[str]

    @property
    def scheme(self) -> str:
        """Of URLs."""
        return "http" if self.tls is None else "https"

    def check_host(self, header: str | None) -> None:
        """Raises HostUnknown unless a Host header (`name`, `name:port`, `[::1]:port`) names this service."""
        name = host_of(header)
        if not name or (name not in self.names and f"*.{name.partition('.')[2]}" not in self.names):
            raise HostUnknown("This service does not go by that name: use one from its certificate, or localhost.")


def tls_of(certificate: Path | None, key: Path | None) -> Tls | None:
    """Both files or neither. Raises StartRefused for one alone."""
    if (certificate is None) != (key is None):
        raise StartRefused("TLS needs two files: give --tls-cert and --tls-key, or neither.")
    return Tls(certificate, key) if certificate is not None and key is not None else None


def address(bind: str, tls: Tls | None) -> Address:
    """Raises StartRefused for a name instead of an address, and for an open address without TLS."""
    try:
        ip = ipaddress.ip_address("127.0.0.1" if bind == "localhost" else bind)
    except ValueError:
        raise StartRefused("Give --bind an IP address, for example 127.0.0.1.") from None
    if tls is None and not ip.is_loopback:
        raise StartRefused(
            "Only loopback is served without TLS: give --tls-cert and --tls-key, or leave --bind at 127.0.0.1."
        )
    named = frozenset({str(ip)}) if ip.is_loopback else frozenset()
    return Address(str(ip), tls, LOOPBACK_NAMES | named | (_names_of(tls) if tls else frozenset()))


def listening(ip: str, port: int) -> socket.socket:
    """A bound TCP socket; port 0 takes a free one. Raises StartRefused."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((ip, port))
    except OSError:
        bound.close()
        raise StartRefused(f"Nothing can listen on port {port} of that address: choose another --port.") from None
    return bound


def host_of(header: str | None) -> str:
    """The name in a Host header, in small letters, without port, brackets or a final dot; empty for none."""
    said = (header or "").strip().lower()
    if said.startswith("["):
        return said[1:].partition("]")[0]
    return said.partition(":")[0].removesuffix(".")


def _names_of(tls: Tls) -> frozenset[str]:
    """The subject alternative names of the certificate. Raises StartRefused for files that cannot serve."""
    from cryptography import x509

    try:
        if os.stat(tls.key).st_mode & stat.S_IRWXO:
            raise StartRefused("Everybody may read the TLS key: run `chmod 640` or stricter on it.")
        certificate = x509.load_pem_x509_certificate(tls.certificate.read_bytes())
        said = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise StartRefused("The TLS certificate names no host (no subject alternative name): make it anew.") from None
    except (OSError, ValueError):
        raise StartRefused("The TLS certificate or key cannot be read: give PEM files.") from None
    names = {name.lower() for name in said.get_values_for_type(x509.DNSName)}
    return frozenset(names | {str(ip) for ip in said.get_values_for_type(x509.IPAddress)})
