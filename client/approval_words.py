"""A proposal in plain words, for the person who decides: what would run, what it would cost, what would leave."""

from __future__ import annotations

import math

from client.approving import Proposal
from protocol.study import StageSpec

_DOES = {
    "align": "bring images and reports into one space of meaning",
    "diffuse": "teach each flow's denoiser",
    "guide": "let the flows guide each other",
}


def in_words(proposal: Proposal, *, coordinator: str = "") -> str:
    """Paragraphs for a terminal."""
    return "\n".join(
        [*_what_it_is(proposal, coordinator), *_what_runs(proposal), *_what_it_costs(proposal), *_what_leaves(proposal)]
    )


def _what_it_is(proposal: Proposal, coordinator: str) -> list[str]:
    study = proposal.study
    others = [site.name for site in study.sites if site.name != proposal.site.name]
    lines = [f"Study {study.name}", f"  digest {proposal.digest}"]
    if study.description:
        lines.append(f"  {study.description}")
    lines.append(f"  Together with {', '.join(others) or 'nobody'}; coordinated from {coordinator or 'nowhere yet'}.")
    return lines


def _what_runs(proposal: Proposal) -> list[str]:
    lines = ["", "What would run here"]
    for stage in proposal.study.stages:
        lines.append(
            f"  {stage.name}: {stage.rounds} rounds of {_counted(stage.steps_per_round, 'step')},"
            f" to {_DOES[stage.name]} ({', '.join(proposal.groups[stage.name])})."
        )
    flows = ", ".join(proposal.site.flows)
    share = max(stage.sampling_probability for stage in proposal.study.stages)
    lines.append(
        f"  Each step draws each patient with probability {share:g} at most, from the records of {flows}."
        " The vault runs only code that is installed here; what the server sends is numbers."
    )
    return lines


def _what_it_costs(proposal: Proposal) -> list[str]:
    plan, policy = proposal.plan, proposal.policy
    if plan is None:
        return [
            "",
            "What it would cost",
            "  THIS STUDY TRAINS HERE WITHOUT DIFFERENTIAL PRIVACY. Whoever sees the updates can learn of single",
            "  patients, and no budget of this site bounds it afterwards. For public data only.",
        ]
    spent = "without bound" if math.isinf(proposal.spent_before) else f"{proposal.spent_before:.3g}"
    odds = math.exp(plan.epsilon)
    lines = [
        "",
        "What it would cost",
        f"  epsilon {plan.epsilon:.3g} at delta {plan.delta:.1e} for each patient, over every round and spare round"
        f" (this site allows {policy.max_epsilon_per_study:g} a study).",
        f"  In words: whatever anybody concludes from all that leaves is at most {odds:.0f} times as likely with a",
        "  patient's records as without them, but for that delta. A smaller epsilon promises more.",
        f"  Spent before: {spent} of {policy.max_epsilon:g} over the lifetime of these patients. What is spent is never"
        " given back.",
    ]
    if policy.patient_ids == "pseudo":
        lines.append("  This site knows its patients by guesswork only, so the promise is made per guessed patient.")
    return lines


def _what_leaves(proposal: Proposal) -> list[str]:
    study = proposal.study
    lines = ["", "What would leave"]
    for stage in study.stages:
        lines.append(
            f"  {stage.name}: {stage.rounds} replies of {_megabytes(proposal, stage)} each, of"
            f" {sum(proposal.parameters[name] for name in proposal.groups[stage.name]):,} parameters."
        )
    what = "noised updates of these parameters" if proposal.plan else "UPDATES WITHOUT NOISE of these parameters"
    lines += [
        f"  That is: {what}, and epsilon as counted from public steps. Replies leave on multiples of"
        f" {study.federation.release_grid_seconds:g} s, so that their time tells nothing; a round that takes longer"
        " shows how many of them it took, and no more.",
        f"  Public already, and part of the study: this site's name, its {proposal.site.declared_patients} declared"
        f" patients, its flows ({', '.join(proposal.site.flows)}).",
        "  Never: images, reports, identifiers, file names, counts, losses, texts of errors.",
    ]
    return lines


def _megabytes(proposal: Proposal, stage: StageSpec) -> str:
    size = proposal.bytes_of(stage)
    if size < 1e4:
        return f"{size} bytes"
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
