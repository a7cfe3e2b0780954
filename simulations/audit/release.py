"""`fedm2g audit release`: membership and memorisation attacks on one generator, against what is claimed of it.

Statements: `privacy/audit/membership.py`, `privacy/audit/memorisation.py`. Members trained and others, drawn from the
same population, did not. Without a claim the attacks are still judged by what they may show at most: an area of
`MOST_AREA`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from medm2g.generator import Generator
from privacy.audit.check import CheckResult
from privacy.audit.membership import FEWEST, RATES, Membership
from privacy.audit.trade_off import ClaimedCurve
from protocol.study import DEFAULT_FLOWS, FlowSpec
from protocol.version import VERSION
from simulations.audit.denoiser_scores import AttackScores, attack_denoisers
from simulations.audit.figures import ceiling_of, curve_of
from simulations.audit.patients import Attacked, read_patients
from simulations.audit.samples import FlowMemory, SamplingTerms, attack_samples
from simulations.errors import InputInvalid
from simulations.generators import open_generator

MOST_AREA = 0.55
"""A generator whose attacks stay below this is not told apart by more than chance and a small sample explain."""
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class ReleaseTerms:
    """How an attack on a generator is made."""

    most: int = 256
    """Patients of either kind."""
    sampling: SamplingTerms = SamplingTerms()
    flows: tuple[FlowSpec, ...] = DEFAULT_FLOWS
    """The study's, for their tone curves."""


def audit_release(
    generator: str,
    members: Sequence[Path],
    others: Sequence[Path],
    *,
    claim: ClaimedCurve | None,
    reference: str | None,
    terms: ReleaseTerms,
    progress: Progress,
) -> dict[str, Any]:
    """Attack and return what `--json` prints. Raises InputInvalid, MedM2GError.

    reference: the public generator that training started from; it gives the strongest attack.
    """
    attacked = open_generator(generator)
    start = None if reference is None else open_generator(reference)
    bar = progress.add_task("reading patients", total=len(members) + len(others))
    inside, outside = (_read(sources, attacked, terms, progress, bar) for sources in (members, others))
    _check_enough(inside, outside)
    bar = progress.add_task("attacking the denoisers", total=len(attacked.flows))
    tell = partial(progress.advance, bar)
    scores = attack_denoisers(attacked, inside, outside, reference=start, fewest=FEWEST, on_flow=tell)
    bar = progress.add_task("attacking samples", total=len(attacked.flows))
    tell = partial(progress.advance, bar)
    memories = attack_samples(attacked, inside, outside, terms=terms.sampling, fewest=FEWEST, on_flow=tell)
    if not scores:
        raise InputInvalid(f"No flow has at least {FEWEST} members and as many others: give more records.")
    return _result(attacked, inside, outside, scores, memories, claim, start is not None)


def _read(sources: Sequence[Path], generator: Generator, terms: ReleaseTerms, progress: Progress, bar: Any) -> Attacked:
    """Patients of all sources together; each source gives an equal part of the most."""
    parts = []
    for source in sources:
        parts.append(read_patients(source, generator, most=-(-terms.most // len(sources)), flows=terms.flows))
        progress.advance(bar)
    return parts[0] if len(parts) == 1 else Attacked.together(parts)


def _check_enough(inside: Attacked, outside: Attacked) -> None:
    if min(inside.patients, outside.patients) < FEWEST:
        raise InputInvalid(f"An attack needs at least {FEWEST} members and {FEWEST} others: give more records.")


def _result(
    generator: Generator,
    inside: Attacked,
    outside: Attacked,
    scores: Mapping[str, AttackScores],
    memories: list[FlowMemory],
    claim: ClaimedCurve | None,
    calibrated: bool,
) -> dict[str, Any]:
    checks = [_told_apart(name, attack.whole) for name, attack in scores.items()]
    if claim is not None:
        checks += [_below_ceiling(name, attack.whole, claim, len(scores)) for name, attack in scores.items()]
    checks += [_remembered(memory, len(memories)) for memory in memories]
    return {
        "kind": "release",
        "version": VERSION,
        "members": inside.patients,
        "others": outside.patients,
        "calibrated": calibrated,
        "attacks": {name: _figures(attack) for name, attack in scores.items()},
        "samples": [_memory_figures(memory) for memory in memories],
        "checks": [asdict(check) for check in checks],
        "passed": all(check.passed for check in checks),
        "curves": {name: curve_of(attack.whole) for name, attack in scores.items()},
        "ceiling": None if claim is None else ceiling_of(claim),
        "not_attacked": [flow for flow in generator.flows if all(flow not in a.flows for a in scores.values())],
    }


def _figures(attack: AttackScores) -> dict[str, Any]:
    return {
        "auc": asdict(attack.whole.auc),
        "rates": [asdict(attack.whole.at(rate)) for rate in RATES],
        "flows": {flow: asdict(scores.auc) for flow, scores in attack.flows.items()},
    }


def _memory_figures(memory: FlowMemory) -> dict[str, Any]:
    auc = asdict(memory.own_prompt.auc)
    return {"flow": memory.flow, "space": memory.space, **asdict(memory.nearest), "own_prompt_auc": auc}


def _told_apart(name: str, scores: Membership) -> CheckResult:
    auc, few = scores.auc, scores.at(RATES[0])
    width = (auc.high - auc.low) / 2
    rate = few.true_positive_rate
    return CheckResult(
        name=f"membership: {name}",
        proposition=f"The attack tells members from others by an area of at most {MOST_AREA}.",
        passed=auc.low <= MOST_AREA,
        figure=f"AUC {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]; at 1 % false positives it finds"
        f" {100 * rate.value:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
        + ("" if few.resolved else " (too few others to resolve 1 %)"),
        power=f"An AUC above about {MOST_AREA + width:.2f} would have failed.",
    )


def _below_ceiling(name: str, scores: Membership, claim: ClaimedCurve, attacks: int) -> CheckResult:
    seen = scores.detectable(claim, significance=SIGNIFICANCE / attacks)
    power = "None: with so few patients no attack could have been told to pierce it."
    if seen is not None:
        found = seen.true_positive_rate.value
        power = (
            f"Finding {100 * found:.0f} % at {100 * seen.false_positive_rate:g} % false positives would have failed."
        )
    return CheckResult(
        name=f"ceiling: {name}",
        proposition="The attack's curve stays under the ceiling that the claim implies.",
        passed=not scores.exceeds(claim, significance=SIGNIFICANCE / attacks),
        figure=f"ceiling at 1 % false positives {100 * claim.ceiling(0.01)[0]:.1f} %,"
        f" reached {100 * scores.at(0.01).true_positive_rate.value:.1f} %",
        power=power,
    )


def _remembered(memory: FlowMemory, tests: int) -> CheckResult:
    nearest, own = memory.nearest, memory.own_prompt.auc
    least = SIGNIFICANCE / tests / 2
    return CheckResult(
        name=f"memorisation: {memory.flow}, {memory.space}",
        proposition="Samples are no nearer to patients who trained than to patients who did not.",
        passed=nearest.p_value > least and own.low <= MOST_AREA,
        figure=f"{100 * nearest.nearest_share:.0f} % nearest to a trained patient (p = {nearest.p_value:.3g});"
        f" copies {nearest.copies} of {nearest.samples}, {nearest.held_out_copies} of held-out patients;"
        f" own prompt AUC {own.value:.2f}",
        power=f"A share of {100 * nearest.detectable_share:.0f} % would have given p = 0.01; failing needs"
        f" p ≤ {least:.2g} or an AUC that is above {MOST_AREA} for certain.",
    )
