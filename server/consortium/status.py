"""`fedm2g consortium status`: what runs, who is awaited, what failed last and where, what privacy was spent so far."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from protocol.study import Study
from server.consortium.certificates import days_left, fingerprint
from server.consortium.coordinator import running_coordinator
from server.consortium.enrolling import enrolled
from server.consortium.operator import operator
from server.consortium.places import ConsortiumPlaces
from server.errors import ServerError
from server.generator_folder import epsilon_by_site
from server.progress import COMPLETED, ENDED, Progress
from server.rounds import RoundLog, RoundRecord
from server.run_store import RunStore

RENEW_DAYS = 30.0


def consortium_status(places: ConsortiumPlaces) -> dict[str, Any]:
    """Everything, as plain values. Works without a running coordinator and then says so."""
    settings = places.read()
    certificate = places.certificate.read_bytes()
    running = running_coordinator(places)
    return {
        "address": settings.address,
        "coordinator": "running" if running else "not running",
        "certificate_days_left": round(days_left(certificate), 1),
        "ca_fingerprint": fingerprint(places.ca_certificate.read_bytes()),
        "sites": _sites(places, running=running is not None),
        "studies": [study_status(places, name) for name in study_names(places)],
    }


def study_names(places: ConsortiumPlaces) -> list[str]:
    """Studies with a run folder, the one that changed last at the end."""
    folders = [path for path in places.runs.glob("*") if (path / "study.toml").is_file()]
    return [path.name for path in sorted(folders, key=lambda path: path.stat().st_mtime)]


def study_status(places: ConsortiumPlaces, name: str) -> dict[str, Any]:
    """One study."""
    out = places.run(name)
    study, records = Study.read(out / "study.toml"), RoundLog(out / "rounds.jsonl").read()
    progress = Progress.read(out) or Progress(study=name, state="prepared")
    spent = epsilon_by_site(records)
    return {
        "study": name,
        "digest": progress.study_digest,
        "state": progress.state,
        "stage": progress.stage,
        "round": progress.round_number,
        "rounds_of_stage": progress.rounds,
        "rounds_done": progress.rounds_done,
        "rounds_total": progress.rounds_total or sum(stage.rounds for stage in study.stages),
        "awaited": list(progress.awaited),
        "missing": progress.missing,
        "seconds_since_change": round(time.time() - progress.since, 1) if progress.since else None,
        "message": progress.message,
        "last_failure": last_failure(records),
        "epsilon": {site.name: spent.get(site.name) for site in study.sites},
        "private": {site.name: study.privacy.enabled and site.private for site in study.sites},
        "what_to_do": _what_to_do(out, progress),
    }


def last_failure(records: list[RoundRecord]) -> dict[str, Any] | None:
    """The last round in which a site's reply was not accepted: which site, what it or the server said, when."""
    for record in reversed(records):
        for site, outcome in record.sites.items():
            if not outcome.accepted:
                place = {"site": site, "stage": record.stage, "round": record.round_number}
                return place | {"status": str(outcome.status), "incident": outcome.incident}
    return None


def in_words(values: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"Coordinator {values['coordinator']}, for hospitals at {values['address']}."]
    if values["certificate_days_left"] < RENEW_DAYS:
        lines.append(
            f"Its certificate ends in {values['certificate_days_left']} days: `fedm2g consortium init --renew`."
        )
    for site in values["sites"]:
        lines.append(f"  {site['name']:24} {site['node']}")
    for study in values["studies"]:
        lines += ["", *_study_in_words(study)]
    return "\n".join(lines)


def _study_in_words(study: dict[str, Any]) -> list[str]:
    done = f"{study['rounds_done']} of {study['rounds_total']} rounds done"
    lines = [f"Study {study['study']}: {study['state']}, {done}."]
    if study["state"] == "running":
        lines.append(f"  Now round {study['round']} of {study['rounds_of_stage']} of stage {study['stage']}.")
    if study["awaited"]:
        lines.append(f"  Awaited: {', '.join(study['awaited'])} (for {study['seconds_since_change']:.0f} s).")
    lines += [f"  Not taking part: {site} ({reason})." for site, reason in study["missing"].items()]
    if failure := study["last_failure"]:
        incident = f", incident {failure['incident']}" if failure["incident"] else ""
        lines.append(
            f"  Last failure: {failure['site']}, {failure['status']}{incident}, in round {failure['round']} of "
            f"{failure['stage']}."
        )
    for site, epsilon in study["epsilon"].items():
        if not study["private"][site]:
            lines.append(f"  {site}: WITHOUT differential privacy.")
        elif epsilon is not None:
            lines.append(f"  {site}: epsilon {epsilon:.3f}, as it reported.")
    return lines + [f"  {text}" for text in (study["message"], study["what_to_do"]) if text]


def _sites(places: ConsortiumPlaces, *, running: bool) -> list[dict[str, Any]]:
    nodes = {}
    if running:
        try:
            with operator(places) as coordinator:
                nodes = {node.name: node.status for node in coordinator.nodes()}
        except ServerError:
            running = False
    return [
        {
            "name": name,
            "node": nodes.get(name, "not registered yet") if running else "unknown: the coordinator does not answer",
            "fingerprint": enrolment.fingerprint,
            "declared_patients": enrolment.declared_patients,
            "declared_flows": list(enrolment.declared_flows),
        }
        for name, enrolment in enrolled(places).items()
    ]


def _what_to_do(out: Path, progress: Progress) -> str:
    if progress.state == COMPLETED:
        return f"Fetch it with: fedm2g consortium fetch {out.name} --out FOLDER"
    if progress.state in ENDED:
        resume = " --resume" if RunStore(out).exists() else ""
        return f"Go on with: fedm2g consortium run {out / 'study.toml'}{resume}"
    return ""


def to_json(values: object) -> str:
    """For machines."""
    return json.dumps(values, indent=1)
