"""The whole examination, side by side and within ten seconds: what takes longer is told as such."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from client.doctor import folders, holdings, machine, network
from client.doctor.finding import Finding, State, fail, ok, unknown
from client.relay_settings import RelayPlaces
from client.site_config import SitePaths
from client.vault.settings import VaultSettings
from privacy.errors import ConfigInvalid
from privacy.policy import SitePolicy

DEADLINE_SECONDS, RECORDS_SECONDS = 6.0, 3.5
Look = Callable[[], list[Finding]]


def examine(site_dir: Path) -> list[Finding]:
    """Look at everything. Raises ConfigInvalid where the folder is no site at all."""
    site_dir = Path(site_dir).resolve()
    try:
        policy = SitePolicy.read(SitePaths(site_dir).policy)
    except PermissionError:
        raise ConfigInvalid(f"{site_dir} is closed to this user: run the check as root, or as its owner.") from None
    settings = VaultSettings.read(site_dir)
    places = RelayPlaces(settings.relay_folder(site_dir))
    looks: list[tuple[str, Look]] = [
        ("policy", lambda: [ok("policy", f"site.toml of {policy.name} is valid")]),
        ("site folder", lambda: [folders.site_folder(site_dir)]),
        ("keys", lambda: [folders.keys(site_dir)]),
        ("relay folder", lambda: [folders.relay_folder(places), folders.two_users(site_dir, places)]),
        ("vault", lambda: [folders.socket(site_dir, settings)]),
        ("disk", lambda: [machine.disk(site_dir), machine.encryption(site_dir), machine.swap()]),
        ("GPU", lambda: [machine.gpu()]),
        ("versions", lambda: [machine.versions(), _generator(settings)]),
        ("network", lambda: network.look(places)),
    ]
    records = holdings.look(site_dir, policy, seconds=RECORDS_SECONDS)  # perhaps in a fork: before there are threads
    return [*_all_of(looks), *records]


def _all_of(looks: list[tuple[str, Look]]) -> list[Finding]:
    """Threads that nobody waits for at the end: a name server may take minutes to say nothing."""
    found: dict[str, list[Finding]] = {}
    threads = [threading.Thread(target=_see, args=(name, look, found), daemon=True) for name, look in looks]
    end = time.monotonic() + DEADLINE_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=max(end - time.monotonic(), 0.0))
    return [finding for name, _ in looks for finding in found.get(name, [_too_late(name)])]


def _see(name: str, look: Look, found: dict[str, list[Finding]]) -> None:
    try:
        found[name] = look()
    except Exception as error:  # the text may name a file of a patient
        found[name] = [unknown(name, f"could not be looked at ({type(error).__name__})")]


def _too_late(name: str) -> Finding:
    return fail(name, "took too long to look at", "Try again; if it stays so, look at the network and the disk first.")


def _generator(settings: VaultSettings) -> Finding:
    try:
        folder = settings.generator_folder()
    except Exception as error:
        return fail("generator", "No generator is installed", str(error))
    return ok("generator", f"{settings.generator} ({folder.name})")


def in_words(findings: list[Finding]) -> str:
    """One line each, and what to do below those that need it."""
    signs = {State.OK: "ok     ", State.WARN: "warn   ", State.FAIL: "FAIL   ", State.UNKNOWN: "unknown"}
    lines = []
    for finding in findings:
        lines.append(f"{signs[finding.state]}  {finding.name}: {finding.says}")
        if finding.do:
            lines.append(f"         -> {finding.do}")
    bad = sum(finding.state is State.FAIL for finding in findings)
    unknown = sum(finding.state is State.UNKNOWN for finding in findings)
    clear = "Nothing stands in the way" + (f", as far as could be seen: {unknown} unknown." if unknown else ".")
    lines += ["", f"{bad} thing(s) to mend before this site can train." if bad else clear]
    return "\n".join(lines)
