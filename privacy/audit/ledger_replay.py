"""The ledger read as a story: replay every entry under the policy that was in force and look for the first that may not
stand there. It trusts that the chain verifies, and takes nothing else on trust.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from privacy.audit.check import CheckResult
from privacy.budget import check_lifetime, check_study
from privacy.chain import LedgerEntry
from privacy.errors import ConfigInvalid, PrivacyError
from privacy.events import NonPrivate, SampledGaussian, StudyPlan, decode_event
from privacy.ledger import SCHEMA_VERSION
from privacy.policy import SitePolicy


class _MayNotStand(Exception):
    """Carries the reason against an entry."""


class Replay:
    """All that the entries add up to, step by step."""

    def __init__(self, entries: Sequence[LedgerEntry]) -> None:
        self._entries = entries
        self._policy: SitePolicy | None = None
        self._plans: dict[str, StudyPlan] = {}
        self._taken: Counter[tuple[str, str]] = Counter()
        self._open: dict[str, str] = {}
        self._done: set[str] = set()
        self._by_kind: Counter[str] = Counter()
        self._faults: dict[str, str] = {}
        for entry in entries:
            self._take(entry)

    def results(self) -> list[CheckResult]:
        """Three propositions: what the entries say can be read, was planned, and was allowed."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._by_kind.items())
        never = len(self._open) - len(self._done)
        drawn = f"{len(self._plans)} plans; {never} reservations were never committed and count as spent"
        return [
            CheckResult(
                name="entries",
                proposition="Every entry is of the closed table, and names the policy in force, which is written out.",
                passed="entries" not in self._faults,
                figure=self._faults.get("entries", kinds),
                power="An unknown kind of entry or event, a malformed one, a policy that was exchanged in silence.",
            ),
            CheckResult(
                name="plans",
                proposition="Nothing was reserved but the planned mechanism, and no stage beyond its planned steps.",
                passed="plans" not in self._faults,
                figure=self._faults.get("plans", drawn),
                power="A step without a plan, a step too many, less noise than planned, a commit of nothing.",
            ),
            CheckResult(
                name="policy",
                proposition="Every plan was within the policy in force: of one study, and of all together.",
                passed="policy" not in self._faults,
                figure=self._faults.get("policy", self._allowed()),
                power="A plan that costs more than it says or than was allowed; training without privacy unallowed.",
            ),
        ]

    def _allowed(self) -> str:
        if self._policy is None:
            return "no policy stands in the ledger"
        total = sum(plan.epsilon for plan in self._plans.values())
        return f"plans add up to epsilon {total:.4g}; the newest policy allows {self._policy.max_epsilon:.4g}"

    def _take(self, entry: LedgerEntry) -> None:
        """Note the first fault of each proposition, with its entry."""
        self._by_kind[entry.kind] += 1
        for name, step in (("entries", self._read), ("plans", self._count), ("policy", self._allow)):
            try:
                step(entry)
            except (_MayNotStand, PrivacyError) as fault:
                self._faults.setdefault(name, f"entry {entry.sequence}: {fault}")
            except (KeyError, TypeError, ValueError):
                self._faults.setdefault(name, f"entry {entry.sequence} is malformed")

    def _read(self, entry: LedgerEntry) -> None:
        body = entry.body
        if entry.kind in ("opened", "policy"):
            self._policy = SitePolicy.from_dict(body["policy_terms"])
        if entry.kind == "opened" and body["schema"] != SCHEMA_VERSION:
            raise _MayNotStand(f"schema {body['schema']} is another version's")
        if self._policy is None or body["policy"] != self._policy.digest():
            raise _MayNotStand("it names another policy than the one written out before it")
        if entry.kind == "approved" and StudyPlan.from_dict(body["plan"]).study_digest != entry.study_digest:
            raise _MayNotStand("its plan is another study's")
        if entry.kind in ("reserved", "non-private"):
            event = decode_event(body["event"])
            if isinstance(event, NonPrivate) != (entry.kind == "non-private"):
                raise _MayNotStand("its event is of another kind than the entry")

    def _count(self, entry: LedgerEntry) -> None:
        body = entry.body
        if entry.kind == "approved":
            if entry.study_digest in self._plans:
                raise _MayNotStand("the study was approved before")
            self._plans[entry.study_digest] = StudyPlan.from_dict(body["plan"])
        elif entry.kind == "reserved":
            self._open[body["reservation"]] = entry.study_digest
            self._draw(entry)
        elif entry.kind == "committed":
            if self._open.get(body["reservation"]) != entry.study_digest or body["reservation"] in self._done:
                raise _MayNotStand("it commits what is not open")
            self._done.add(body["reservation"])

    def _draw(self, entry: LedgerEntry) -> None:
        plan, stage = self._plans.get(entry.study_digest), entry.body["stage"]
        if plan is None:
            raise _MayNotStand("its study has no plan")
        planned, event = plan.stage_event(stage), decode_event(entry.body["event"])
        if not isinstance(event, SampledGaussian) or not planned.same_mechanism(event):
            raise _MayNotStand("another mechanism than the planned one was reserved")
        self._taken[entry.study_digest, stage] += event.steps
        if self._taken[entry.study_digest, stage] > planned.steps:
            raise _MayNotStand(f"stage {stage} has no steps left in its plan")

    def _allow(self, entry: LedgerEntry) -> None:
        if entry.kind not in ("approved", "non-private"):
            return
        if self._policy is None:
            raise ConfigInvalid("no policy stands before it.")
        if entry.kind == "non-private":
            if not self._policy.allow_non_private:
                raise _MayNotStand("training without privacy was not allowed")
            return
        plan = StudyPlan.from_dict(entry.body["plan"])
        check_study(plan, self._policy)
        check_lifetime(list({**self._plans, plan.study_digest: plan}.values()), self._policy)
