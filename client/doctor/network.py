"""The way to the coordinator, as the relay takes it: proxy, name, port, certificate, clock, and whether it knows us."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from client.doctor.finding import Finding, fail, ok, unknown, warn
from client.errors import ClientError
from client.relay_settings import RelayPlaces, RelaySettings

SECONDS = 5.0
SKEW_SECONDS = 5.0
"""Flower refuses a node's signature that is more than 5 s from the future or 305 s old."""
EXPIRY_DAYS = 14


@dataclass(frozen=True)
class Address:
    """Where the coordinator is, and the proxy in between."""

    host: str
    port: int
    proxy: str = ""
    """`host:port`, or empty."""

    @classmethod
    def of(cls, superlink: str) -> Address:
        """As the relay's HTTP client would go: HTTPS_PROXY, ALL_PROXY and NO_PROXY are honoured."""
        host, _, port = superlink.rpartition(":")
        host = host.strip("[]")
        proxies = getproxies()
        chosen = "" if proxy_bypass(host) else proxies.get("https") or proxies.get("all") or ""
        return cls(host, int(port), urlsplit(chosen).netloc.rpartition("@")[2] if chosen else "")

    @property
    def first_hop(self) -> tuple[str, int]:
        """Where a connection really goes."""
        if not self.proxy:
            return self.host, self.port
        found = urlsplit(f"//{self.proxy}")
        return found.hostname or "", found.port or 80


def look(places: RelayPlaces) -> list[Finding]:
    """Everything about the network, in the order in which a connection is made; what follows a failure is left out."""
    try:
        settings = places.read()
        certificates = places.certificates(settings)
    except Exception as error:
        return [unknown("coordinator", "Nothing is known of it yet", _sentence(error))]
    if not settings.superlink:
        return [unknown("coordinator", "Nobody said where it is", "Run `fedm2g site connect`.")]
    address = Address.of(settings.superlink)
    findings = [proxy(address)]
    for step in (name_resolution, port):
        findings.append(step(address))
        if findings[-1].state == "fail":
            return findings
    tls, date = handshake(address, certificates)
    findings.append(tls)
    if tls.state == "fail":
        return findings
    return [*findings, clock(date), enrolled(places, settings)]


def proxy(address: Address) -> Finding:
    """Whether a proxy stands between."""
    if not address.proxy:
        return ok("proxy", "none: the connection is direct")
    return ok("proxy", f"through {address.proxy} (it must pass TLS through unopened)")


def name_resolution(address: Address) -> Finding:
    """DNS, of the first hop."""
    host, number = address.first_hop
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)}
    except OSError:
        do = "Ask the network's people to resolve it, or put it into /etc/hosts; nothing else needs the internet."
        return fail("DNS", f"{host} has no address here", do)
    return ok("DNS", f"{host} is {', '.join(sorted(map(str, found)))}")


def port(address: Address) -> Finding:
    """TCP, of the first hop."""
    host, number = address.first_hop
    try:
        socket.create_connection((host, number), timeout=SECONDS).close()
    except OSError as error:
        do = f"Ask for outbound TCP to {host}:{number}; nothing inbound is needed."
        return fail("TCP", f"{host}:{number} does not answer ({error.strerror or type(error).__name__})", do)
    return ok("TCP", f"{host}:{number} answers")


def handshake(address: Address, certificates: Path) -> tuple[Finding, str]:
    """TLS with the consortium's own authority, and the server's date. No request carries anything of this site."""
    try:
        trusted = ssl.create_default_context(cafile=certificates)
    except (OSError, ssl.SSLError):
        return fail("TLS", f"{certificates} is no certificate", "Ask the coordinator for ca.crt again."), ""
    host, number = address.first_hop
    connection = http.client.HTTPSConnection(host, number, timeout=SECONDS, context=trusted)
    if address.proxy:
        connection.set_tunnel(address.host, address.port)
    try:
        connection.connect()
        expires = connection.sock.getpeercert()["notAfter"]  # type: ignore[index]
        connection.request("GET", "/health")
        date = connection.getresponse().headers.get("date", "")
    except ssl.SSLCertVerificationError as error:
        return _certificate_refused(error), ""
    except (OSError, http.client.HTTPException) as error:
        says = f"No TLS connection to {address.host}:{address.port} ({type(error).__name__})"
        do = "If a proxy opens TLS, have it let this address through; else ask the coordinator if the service runs."
        return fail("TLS", says, do), ""
    finally:
        connection.close()
    return _expiry(str(expires)), date


def _certificate_refused(error: ssl.SSLCertVerificationError) -> Finding:
    says = f"The server's certificate is refused: {error.verify_message}"
    do = "Ask the coordinator for the ca.crt of today's certificate, and compare fingerprints by telephone."
    if "expired" in error.verify_message or "not yet valid" in error.verify_message:
        do = "Look at this machine's clock first, then ask the coordinator for a new certificate."
    elif "ostname" in error.verify_message or "IP address" in error.verify_message:
        do = "Use the address that the certificate names in `superlink`, or ask for one that names this address."
    return fail("TLS", says, do)


def _expiry(text: str) -> Finding:
    left = datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC) - datetime.now(UTC)
    says = f"the chain verifies; the certificate is good for {left.days} days"
    if left.days < EXPIRY_DAYS:
        return warn("TLS", says, "Tell the coordinator to renew it.")
    return ok("TLS", says)


def clock(date: str) -> Finding:
    """This machine's clock against the server's `Date`, whole seconds."""
    try:
        skew = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds() - 0.5
    except ValueError:
        return unknown("clock", "The server sends no date")
    if abs(skew) > SKEW_SECONDS:
        do = "Set the clock (timedatectl set-ntp true): the coordinator refuses signatures of another time."
        return fail("clock", f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the coordinator's", do)
    return ok("clock", f"within {SKEW_SECONDS:.0f} s of the coordinator's")


def enrolled(places: RelayPlaces, settings: RelaySettings) -> Finding:
    """Whether the coordinator knows our key: it is asked to activate the node for no time at all, which it refuses.

    Flower answers 401 for a signature that it does not take, FLEET_NODE_ACTIVATION_FAILED for a key that it does not
    know, and FLEET_INVALID_HEARTBEAT_INTERVAL for one that it does; none of them changes anything.
    """
    from client.supernode import ask_whether_enrolled

    try:
        answer = ask_whether_enrolled(places, settings)
    except ClientError as error:
        return unknown("enrolled", "The node's key cannot be used", str(error))
    except Exception as error:
        return unknown("enrolled", f"The coordinator did not say ({type(error).__name__})", "Look at its log.")
    if answer is None:
        do = "Look at the clock; then enrol again with the coordinator."
        return fail("enrolled", "The coordinator does not take this node's signature", do)
    if not answer:
        do = "Send SITE.json to the coordinator, who runs `fedm2g consortium enroll SITE.json`."
        return fail("enrolled", "The coordinator does not know this node's key", do)
    return ok("enrolled", f"the coordinator knows the key of {settings.site}")


def _sentence(error: Exception) -> str:
    return str(error) if getattr(error, "code", None) else "Run the check as root, or as the relay's user."
