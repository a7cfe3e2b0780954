"""`fedm2g site` approve, withdraw, ledger: what the hospital decides about a study, and its account of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from client.site_options import Dir, Json, Yes, ask, print_json, site_at, unusable

if TYPE_CHECKING:
    from client.approving import Proposal
    from privacy.chain import LedgerEntry

HEX = frozenset("0123456789abcdef")
SHORTEST_DIGEST = 8


def approve(
    study: Annotated[Path, typer.Argument(help="The study.toml that the coordinator sent.")],
    site_dir: Dir,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Say in plain words what a study would run here, cost and send; ask; then sign its digest."""
    from client.approval_words import in_words
    from client.approving import approval_desk
    from protocol.study import Study

    proposed = Study.read(study)
    paths, _ = site_at(site_dir)
    with unusable(), approval_desk(paths.site_dir) as desk:
        proposal = desk.propose(proposed)
        if not as_json:
            typer.echo(in_words(proposal, coordinator=_coordinator(paths.site_dir)))
            typer.echo("")
        if proposal.already_approved:
            said = "This study is approved here already; nothing was changed."
        elif ask("Approve this study for this site?", yes=yes):
            desk.approve(proposal)
            said = f"Approved and signed. Tell the coordinator this digest: {proposal.digest}"
        else:
            said = "Not approved; nothing was written."
    if as_json:
        print_json(_figures(proposal, said))
    else:
        typer.echo(said)


def withdraw(
    study: Annotated[str, typer.Argument(help="The study.toml, or the digest's first digits.")],
    site_dir: Dir,
    yes: Yes = False,
) -> None:
    """Leave a study for good, from this moment on."""
    from client.vault.withdrawal import Withdrawals

    paths, _ = site_at(site_dir)
    digest = _approved_digest(study, paths.state)
    typer.echo(f"Withdrawing from study {digest[:12]}:")
    typer.echo("  At once: a running round is stopped, and the vault answers this study no more.")
    typer.echo("  Cannot be undone: updates that have left stay in the generator and with whoever received them. They")
    typer.echo("  were noised for that case: the epsilon that was spent bounds what they tell of any patient.")
    typer.echo("  Stays: the ledger and what was spent; epsilon is never given back. The records stay in the store:")
    typer.echo("  `fedm2g site forget` erases those of a patient.")
    typer.echo("  For good: this digest is never answered again here. To come back, the consortium writes a new study.")
    if not ask("Withdraw?", yes=yes):
        typer.echo("Nothing was changed.")
        return
    Withdrawals(paths.state).withdraw(digest)
    stopped = _cancel_quietly(paths.site_dir)
    typer.echo("Withdrawn; the running round stops." if stopped else "Withdrawn.")


def ledger(
    site_dir: Dir,
    last: Annotated[int, typer.Option(min=1, help="How many entries to show.")] = 40,
    as_json: Json = False,
) -> None:
    """Verify the ledger and show it: what was approved, reserved and committed, entry by entry."""
    from client.site_setup import SiteUnusable
    from privacy.keys import SiteKeys
    from privacy.ledger import Ledger

    paths, policy = site_at(site_dir)
    if not paths.ledger.exists():
        raise SiteUnusable("The ledger has not begun: no study was approved here yet.")
    with unusable():
        found = Ledger(paths.ledger, SiteKeys.open(paths.site_dir).signing_key, policy)
    entries = found.entries()
    if as_json:
        print_json([_entry_json(entry) for entry in entries[-last:]])
        return
    if len(entries) > last:
        typer.echo(f"({len(entries) - last} earlier entries; --last shows more)")
    for entry in entries[-last:]:
        typer.echo(_entry_words(entry))
    typer.echo(f"{len(entries)} entries; every digest and signature verifies. Head: {entries[-1].digest}")


def _coordinator(site_dir: Path) -> str:
    """Where the relay connects to, as far as this user may see it."""
    from client.relay_settings import RelayPlaces
    from client.site_setup import SiteUnusable
    from client.vault.settings import VaultSettings

    try:
        return RelayPlaces(VaultSettings.read(site_dir).relay_folder(site_dir)).read().superlink
    except SiteUnusable:
        return ""


def _figures(proposal: Proposal, said: str) -> dict[str, Any]:
    plan = proposal.plan
    return {
        "digest": proposal.digest,
        "epsilon": plan.epsilon if plan else None,
        "delta": plan.delta if plan else None,
        "private": plan is not None,
        "rounds": {stage.name: stage.rounds for stage in proposal.study.stages},
        "groups": {stage: list(groups) for stage, groups in proposal.groups.items()},
        "bytes_per_reply": {stage.name: proposal.bytes_of(stage) for stage in proposal.study.stages},
        "said": said,
    }


def _approved_digest(word: str, state: Path) -> str:
    """The one approved digest that is meant. Raises SiteUnusable."""
    from client.site_setup import SiteUnusable

    approved = sorted(path.stem for path in (state / "approvals").glob("*.json"))
    if set(word) <= HEX and len(word) >= SHORTEST_DIGEST:
        found = [digest for digest in approved if digest.startswith(word)]
    else:
        found = _digests_of_file(Path(word), state / "approvals", approved)
    if len(found) != 1:
        known = ", ".join(digest[:12] for digest in approved) or "none"
        raise SiteUnusable(f"That is not one of the studies approved here ({known}): give a digest or its study.toml.")
    return found[0]


def _digests_of_file(path: Path, approvals: Path, approved: list[str]) -> list[str]:
    """A study is approved bound to a generator, which its file need not name; everything else must be equal."""
    import json

    from protocol.study import Study

    study = Study.read(path)
    found = []
    for digest in approved:
        terms = json.loads((approvals / f"{digest}.json").read_bytes())["terms"]["study"]
        if Study.from_dict(terms) == study.with_generator(digest=terms["generator_digest"]):
            found.append(digest)
    return found


def _cancel_quietly(site_dir: Path) -> bool:
    """Stop what runs; a vault that does not run has nothing to stop."""
    from client.socket_vault import SocketVault, VaultUnreachable
    from client.vault.settings import operator_socket

    try:
        return SocketVault(operator_socket(site_dir), connect_seconds=2.0).cancel()
    except VaultUnreachable:
        return False


def _entry_json(entry: LedgerEntry) -> dict[str, Any]:
    return {"sequence": entry.sequence, "kind": entry.kind, "study": entry.study_digest, "digest": entry.digest} | {
        "body": entry.body
    }


def _entry_words(entry: LedgerEntry) -> str:
    body = entry.body
    where = f"{body['stage']} round {body['round_number']}" if "round_number" in body else ""
    steps = body.get("event", {}).get("steps")
    cost = f"epsilon {body['plan']['epsilon']:.3g} promised" if "plan" in body else ""
    parts = [where, f"{steps} step(s)" if steps else "", cost]
    said = ", ".join(part for part in parts if part)
    return f"{entry.sequence:>6}  {body.get('at', ''):<26}{entry.kind:<12} {entry.study_digest[:12]:<13}{said}"
