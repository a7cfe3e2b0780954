"""What a run claims of each site, and what its ledgers say: recomputed from the SQLite by the standard library and
dp_accounting, without our ledger's or accountant's code, and compared with what the run's summary states.

For a patient known to several sites, the sites' events are composed together by PLD at the smallest of their deltas:
the noise of every site is its own, so their releases compose like those of one mechanism.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from privacy.accounting import epsilon, epsilon_rdp
from privacy.audit.check import CheckResult
from privacy.events import Event, decode_event
from protocol.study import Study
from simulations.errors import InputInvalid

AGREEMENT = 1e-3
"""Recomputed and claimed epsilon may differ by this."""


@dataclass(frozen=True)
class SiteClaim:
    """One site of one study."""

    name: str
    private: bool
    declared_patients: int
    delta: float
    stated: float | None
    """As the run's summary says; None where it says nothing."""
    planned: float | None
    """The cap that was approved: the plan's epsilon, spare rounds included."""
    events: tuple[Event, ...]
    """Everything reserved for this study, committed or not."""
    steps_by_stage: Mapping[str, int]
    other_studies: int
    """Studies of the same ledger besides this one."""

    @cached_property
    def recomputed(self) -> float:
        """Epsilon of the ledger's events, by dp_accounting alone."""
        return recomputed_epsilon([_plain(event) for event in self.events], delta=self.delta)

    @cached_property
    def accounted(self) -> float:
        """The same by our accountant."""
        return epsilon(self.events, delta=self.delta)

    @cached_property
    def by_moments(self) -> float:
        """The same by Renyi moments: never below the truth, and looser."""
        return epsilon_rdp(self.events, delta=self.delta)


def read_claims(study: Study, digest: str, sites: Mapping[str, Path], stated: Mapping[str, Any]) -> list[SiteClaim]:
    """The claim of every site whose folder is given. Raises InputInvalid where a ledger cannot be read."""
    return [
        _claim(study, digest, study.site(name), folder / "ledger.sqlite", stated.get(name, {}))
        for name, folder in sites.items()
    ]


def _claim(study: Study, digest: str, spec: Any, ledger: Path, stated: Mapping[str, Any]) -> SiteClaim:
    rows = ledger_rows(ledger)
    own = [(kind, body) for kind, name, body in rows if name == digest]
    spent = [body for kind, body in own if kind in ("reserved", "non-private")]
    plan = next((body["plan"] for kind, body in own if kind == "approved"), None)
    steps: dict[str, int] = {}
    for body in spent:
        steps[body["stage"]] = steps.get(body["stage"], 0) + int(body["event"]["steps"])
    return SiteClaim(
        name=spec.name,
        private=study.privacy.enabled and spec.private,
        declared_patients=spec.declared_patients,
        delta=study.privacy.delta_fraction / spec.declared_patients,
        stated=stated.get("epsilon"),
        planned=None if plan is None else float(plan["epsilon"]),
        events=tuple(decode_event(body["event"]) for body in spent),
        steps_by_stage=steps,
        other_studies=len({name for _, name, _ in rows if name not in ("", digest)}),
    )


def ledger_rows(ledger: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """(kind, study digest, body) of every entry, by the standard library alone. Raises InputInvalid."""
    if not ledger.is_file():
        raise InputInvalid(f"There is no ledger in {ledger.parent.name}: give the folders of the study's sites.")
    try:
        with closing(sqlite3.connect(f"file:{ledger.resolve()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT kind, study_digest, body FROM entries ORDER BY sequence").fetchall()
        return [(str(kind), str(digest), json.loads(body)) for kind, digest, body in rows]
    except (sqlite3.DatabaseError, ValueError):
        raise InputInvalid(
            f"The ledger of {ledger.parent.name} cannot be read: run `fedm2g audit ledger` on it."
        ) from None


def recomputed_epsilon(events: Iterable[Mapping[str, Any]], *, delta: float) -> float:
    """Epsilon of plain event values by dp_accounting's PLD, add/remove. Infinite after a release without privacy.

    Raises InputInvalid for a kind of event that this recomputation does not know: it is never skipped.
    """
    from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent, pld

    accountant = pld.PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=3e-4)
    steps: dict[tuple[float, float], int] = {}
    for event in events:
        if event["kind"] == "non-private":
            return math.inf
        if event["kind"] != "sampled-gaussian":
            raise InputInvalid(
                f"The recomputation knows no event of kind {event['kind']}: use the version that wrote it."
            )
        place = (float(event["sampling_probability"]), float(event["noise_multiplier"]))
        steps[place] = steps.get(place, 0) + int(event["steps"])
    for (probability, multiplier), count in sorted(steps.items()):
        gaussian = GaussianDpEvent(multiplier)
        accountant.compose(gaussian if probability == 1.0 else PoissonSampledDpEvent(probability, gaussian), count)
    return float(accountant.get_epsilon(delta)) if steps else 0.0


def linked_epsilons(claims: Sequence[SiteClaim]) -> dict[str, float] | None:
    """Epsilon for a patient at one, two and all private sites: the worst of each, at the smallest delta."""
    private = [claim for claim in claims if claim.private and claim.events]
    if not private:
        return None
    delta = min(claim.delta for claim in private)

    def together(chosen: Iterable[SiteClaim]) -> float:
        return epsilon([event for claim in chosen for event in claim.events], delta=delta)

    found = {"delta": delta, "one": max(together([claim]) for claim in private)}
    if len(private) > 1:
        found["two"] = max(together(pair) for pair in combinations(private, 2))
        found["all"] = together(private)
        found["all_by_addition"] = sum(together([claim]) for claim in private)
    return found


def claim_checks(claims: Sequence[SiteClaim], *, max_epsilon: float) -> list[CheckResult]:
    """Ledger against summary, plan and policy cap, site by site."""
    return [check for claim in claims for check in _checks(claim, max_epsilon)]


def _checks(claim: SiteClaim, max_epsilon: float) -> list[CheckResult]:
    if not claim.private:
        return [
            CheckResult(
                name=f"claim: {claim.name}",
                proposition="The site is declared without privacy, and nothing is claimed of it.",
                passed=claim.stated is None,
                figure="no bound: it trained without differential privacy",
                power="A stated epsilon would have failed.",
            )
        ]
    found, stated = claim.recomputed, claim.stated
    return [
        CheckResult(
            name=f"claim: {claim.name}",
            proposition="What the run states of this site is at least what its ledger holds.",
            passed=stated is not None and found <= stated + AGREEMENT,
            figure=f"stated {_number(stated)}, recomputed {found:.4f}, by moments {claim.by_moments:.4f}",
            power=f"A ledger that costs {AGREEMENT} more than is stated would have failed.",
        ),
        CheckResult(
            name=f"recomputation: {claim.name}",
            proposition="Our accountant and the recomputation agree.",
            passed=math.isclose(found, claim.accounted, abs_tol=AGREEMENT),
            figure=f"accountant {claim.accounted:.4f}, recomputed {found:.4f}",
            power=f"A difference of {AGREEMENT} would have failed.",
        ),
        CheckResult(
            name=f"cap: {claim.name}",
            proposition="The site spent no more than its plan, and the plan is within the study's epsilon.",
            passed=claim.planned is not None and found <= claim.planned + AGREEMENT <= max_epsilon + 2 * AGREEMENT,
            figure=f"spent {found:.4f}, planned {_number(claim.planned)}, cap {max_epsilon:g}",
            power="Any excess would have failed.",
        ),
    ]


def _plain(event: Event) -> dict[str, Any]:
    from privacy.events import encode_event

    return encode_event(event)


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4f}"
