"""What `fedm2g site status` tells the hospital about itself. True counts: they never leave the site."""

from __future__ import annotations

import math
from typing import Any

from client.site_config import SitePaths
from privacy.keys import SiteKeys
from privacy.policy import SitePolicy


def site_status(paths: SitePaths, policy: SitePolicy) -> dict[str, Any]:
    """Policy, records by flow, what was quarantined, and epsilon spent by study and over the lifetime.

    Opens what exists and creates nothing. Raises KeysUnusable, LedgerTampered or StoreUnusable.
    """
    return {
        "name": policy.name,
        "policy": policy.model_dump(mode="json"),
        **_records(paths),
        **_spending(paths, policy),
    }


def _records(paths: SitePaths) -> dict[str, Any]:
    from client.records.store import RecordStore, has_store

    if not has_store(paths.site_dir):
        return {"patients": 0, "records": {}, "quarantined": {}}
    store = RecordStore.open(paths.site_dir)
    try:
        return {"patients": len(store.patients()), "records": store.counts(), "quarantined": store.quarantined()}
    finally:
        store.close()


def _spending(paths: SitePaths, policy: SitePolicy) -> dict[str, Any]:
    keys = SiteKeys.open(paths.site_dir)
    if not paths.ledger.exists():
        return {"studies": [], "lifetime": _figure(0.0, policy.max_epsilon, policy.max_delta)}
    from privacy.ledger import Ledger

    ledger = Ledger(paths.ledger, keys.signing_key, policy)
    approved = [entry.study_digest for entry in ledger.entries() if entry.kind == "approved"]
    digests = list(dict.fromkeys([*approved, *ledger.events()]))
    studies = []
    for digest in digests:
        plan = ledger.plan(digest)
        delta = plan.delta if plan else policy.max_delta
        spent = ledger.epsilon_spent(delta=delta, study_digest=digest)
        studies.append({"digest": digest} | _figure(spent, plan.epsilon if plan else None, delta))
    lifetime = ledger.epsilon_spent(delta=policy.max_delta)
    return {"studies": studies, "lifetime": _figure(lifetime, policy.max_epsilon, policy.max_delta)}


def _figure(spent: float, limit: float | None, delta: float) -> dict[str, Any]:
    """JSON has no infinity: null, and `non_private` says why."""
    endless = math.isinf(spent)
    return {"epsilon_spent": None if endless else spent, "max_epsilon": limit, "delta": delta, "non_private": endless}


def in_words(status: dict[str, Any]) -> str:
    """The status for people."""
    return "\n".join([*_policy_words(status), *_record_words(status), *_spending_words(status)])


def _policy_words(status: dict[str, Any]) -> list[str]:
    policy = status["policy"]
    ids = (
        "Its patient ids are real, so the promise is made per patient."
        if policy["patient_ids"] == "real"
        else "Its patients are known only by guesswork, so no promise is made per patient."
    )
    without = (
        "Studies may also train here without differential privacy: for public data only."
        if policy["allow_non_private"]
        else "No study trains here without differential privacy."
    )
    return [
        f"Site {status['name']}",
        f"  It declares {policy['declared_patients']} patients (at most {policy['max_patients']} in the store) with"
        f" {', '.join(policy['declared_flows'])}.",
        f"  {ids}",
        f"  It takes part in {', '.join(policy['allowed_stages'])}, from {policy['minimum_patients']} patients on.",
        f"  A study may spend epsilon {policy['max_epsilon_per_study']:g}, all studies together"
        f" {policy['max_epsilon']:g}, at a delta of at most {policy['max_delta']:g}. {without}",
    ]


def _record_words(status: dict[str, Any]) -> list[str]:
    if not status["records"] and not status["quarantined"]:
        return ["", "No records yet: run `fedm2g site ingest`."]
    lines = ["", f"Records of {status['patients']} patients (true counts: for this site's eyes only)"]
    lines += [f"  {count:>8}  {flow}" for flow, count in status["records"].items()]
    if status["quarantined"]:
        lines += ["", "Files that were refused"]
        lines += [f"  {count:>8}  {reason}" for reason, count in status["quarantined"].items()]
    return lines


def _spending_words(status: dict[str, Any]) -> list[str]:
    lines = ["", "Privacy spent"]
    for study in status["studies"]:
        limit = "" if study["max_epsilon"] is None else f" of the {study['max_epsilon']:.3g} approved"
        lines.append(f"  study {study['digest'][:12]}: {_spent_words(study)}{limit}, delta {study['delta']:.1e}")
    lifetime = status["lifetime"]
    lines.append(f"  lifetime: {_spent_words(lifetime)} of {lifetime['max_epsilon']:g}, delta {lifetime['delta']:.1e}")
    return lines


def _spent_words(figure: dict[str, Any]) -> str:
    return "without privacy" if figure["non_private"] else f"epsilon {figure['epsilon_spent']:.3g}"
