"""What the site holds against what it declared, and what is left to spend. True counts: for this site's eyes only."""

from __future__ import annotations

from pathlib import Path

from client.doctor.finding import Finding, fail, ok, unknown, warn
from client.owner import as_owner
from client.site_config import SitePaths
from client.site_status import site_status
from privacy.policy import SitePolicy

TEXT_FLOW = "text"


def look(site_dir: Path, policy: SitePolicy, *, seconds: float = 10.0) -> list[Finding]:
    """Records per declared flow, patients, budget; as the folder's owner, where root asks."""
    try:
        status = as_owner(site_dir, lambda: site_status(SitePaths(site_dir), policy), seconds=seconds)
    except TimeoutError:
        return [fail("records", "took too long to look at", "Look at the disk first.")]
    except PermissionError:
        return [unknown("records", "Closed to this user", "Run the check as root or as the vault's user.")]
    except Exception as error:
        do = str(error) if getattr(error, "code", None) else "Look into the site's folder."
        return [fail("records", "The store or the ledger cannot be read", do)]
    flows = [_flow(flow, status["records"].get(flow, 0)) for flow in policy.declared_flows]
    return [_patients(policy, status["patients"]), *flows, _budget(policy, status)]


def _patients(policy: SitePolicy, patients: int) -> Finding:
    says = f"{patients} in the store, {policy.declared_patients} declared"
    if patients < policy.declared_patients:
        return fail("patients", says, "Ingest the rest, or declare fewer before a study is approved.")
    if patients > policy.max_patients:
        return fail("patients", says, "Raise `max_patients` in site.toml, or forget some.")
    return ok("patients", says)


def _flow(flow: str, records: int) -> Finding:
    if not records:
        do = f"Ingest {flow}, or take it out of `declared_flows` before a study is approved."
        return fail(f"records: {flow}", "none, although the flow is declared", do)
    return ok(f"records: {flow}", f"{records}")


def _budget(policy: SitePolicy, status: dict) -> Finding:  # type: ignore[type-arg]
    spent = status["lifetime"]["epsilon_spent"]
    if spent is None:
        do = "Nothing bounds what was learnt here; no promise is made for these patients."
        return warn("budget", "spent without privacy", do)
    promised = sum(study["max_epsilon"] or 0.0 for study in status["studies"])
    left = policy.max_epsilon - promised
    says = f"epsilon {spent:.3g} spent, {promised:.3g} promised to studies, of {policy.max_epsilon:g}"
    if left <= 0:
        return warn("budget", says, "No further study fits: raise `max_epsilon` only if the ethics board agrees.")
    return ok("budget", says)
