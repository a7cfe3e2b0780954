"""The data-protection impact record of a site: facts gathered from study, policy and ledger, in the order of GDPR
article 35(7): the processing, its necessity, the risks, the measures.

It may be handed to a supervisory authority or to patients, so it is made of what is public already: the policy's
declared numbers and the studies' terms. No file of records is opened, and nothing in it is a true count, a date of a
patient, or an identifier.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources

from jinja2 import Environment, StrictUndefined

from client.site_config import SitePaths
from client.vault.approval import check_policy, planned
from privacy.errors import PolicyRefused
from privacy.events import StudyPlan
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.policy import SitePolicy
from protocol.errors import StudyInvalid
from protocol.study import SiteSpec, Study
from protocol.version import VERSION

TEMPLATE = "impact.md.j2"
MOST = 700.0
"""Exponents beyond this are no number any more."""
_DOES = {
    "align": "bringing images and reports into one space of meaning",
    "diffuse": "teaching the denoiser of each kind of image and of report text",
    "guide": "letting the kinds of image and text guide each other",
}
_CATEGORIES = {
    "xray": "radiographs",
    "ct": "computed tomography",
    "mri_t1": "T1-weighted MRI",
    "mri_t2": "T2-weighted MRI",
    "mri_flair": "FLAIR MRI",
    "text": "text of radiology reports",
}


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """One study at this site, in public numbers."""

    study: Study
    site: SiteSpec
    digest: str
    approved: bool
    plan: StudyPlan | None
    """None without privacy."""
    spent: float
    """Epsilon of what the ledger reserved; infinite without protection."""
    refusal: str
    """Why the policy would refuse it, in one sentence; empty where it would not."""

    @property
    def odds(self) -> str:
        """How many times as likely any conclusion may become, as a person reads it; rounded up."""
        factor = math.exp(min(self.plan.epsilon, MOST)) if self.plan else math.inf
        if factor < 10.0:
            return f"{math.ceil(factor * 10) / 10:.1f}"
        return f"{math.ceil(factor):,}" if factor < 1e6 else "more than a million"

    @property
    def found(self) -> int:
        """Most members in 100 that a guess may find at 1 % false accusations: e^epsilon FPR + delta, rounded up."""
        share = math.exp(min(self.plan.epsilon, MOST)) * 0.01 + self.plan.delta if self.plan else 1.0
        return min(100, math.ceil(100.0 * share))


@dataclass(frozen=True, kw_only=True)
class SiteFacts:
    """The site in public numbers."""

    policy: SitePolicy
    studies: tuple[StudyFacts, ...]
    spent: float
    """Epsilon at the lifetime's delta, over every study in the ledger; infinite without protection."""
    head: str
    """Where the ledger ends; empty before its first entry."""
    version: str
    written: str

    @property
    def others(self) -> list[str]:
        """Names of the other sites."""
        return sorted({site.name for one in self.studies for site in one.study.sites} - {self.policy.name})

    @property
    def coordinators(self) -> list[str]:
        """As the studies name them."""
        return sorted({one.study.coordinator for one in self.studies} - {""})

    @property
    def categories(self) -> list[str]:
        """The declared flows in plain words."""
        return [_CATEGORIES.get(flow, flow) for flow in self.policy.declared_flows]

    @property
    def without_bound(self) -> bool:
        """Whether anything leaves, or has left, without protection."""
        return math.isinf(self.spent) or any(one.plan is None for one in self.studies)


def impact_record(paths: SitePaths, policy: SitePolicy, study: Study | None) -> str:
    """Markdown, for `study` or for every approved one. Writes nothing new to the site.

    Raises StudyInvalid where the study does not name this site, LedgerTampered, KeysUnusable.
    """
    ledger = None
    if paths.ledger.exists():
        ledger = Ledger(paths.ledger, SiteKeys.open(paths.site_dir).signing_key, policy)
    approved = dict(_approved(paths))
    chosen = approved if study is None else {_digest_of(study, approved): study}
    facts = SiteFacts(
        policy=policy,
        studies=tuple(_facts(one, digest, policy, ledger, known=digest in approved) for digest, one in chosen.items()),
        spent=ledger.epsilon_spent(delta=policy.max_delta) if ledger else 0.0,
        head=str(ledger.head()) if ledger else "",
        version=VERSION,
        written=datetime.now(UTC).date().isoformat(),
    )
    text = resources.files("client.rights").joinpath(TEMPLATE).read_text(encoding="utf-8")
    template = Environment(undefined=StrictUndefined, autoescape=False).from_string(text)
    return template.render(facts=facts, policy=policy, does=_DOES, infinity=math.inf).rstrip() + "\n"


def _approved(paths: SitePaths) -> Iterator[tuple[str, Study]]:
    for path in sorted((paths.state / "approvals").glob("*.json")):
        yield path.stem, Study.from_dict(json.loads(path.read_bytes())["terms"]["study"])


def _digest_of(study: Study, approved: dict[str, Study]) -> str:
    """A study is approved bound to a generator, which its file need not name; everything else must be equal."""
    for digest, known in approved.items():
        if known == study.with_generator(digest=known.generator_digest):
            return digest
    return study.digest(version=VERSION)


def _facts(study: Study, digest: str, policy: SitePolicy, ledger: Ledger | None, *, known: bool) -> StudyFacts:
    try:
        site = study.site(policy.name)
    except StudyInvalid:
        raise StudyInvalid(f"The study does not name this site, {policy.name}: give one of its own.") from None
    private = study.privacy.enabled and site.private
    plan = ledger.plan(digest) if ledger and known else None
    if private and plan is None:
        plan = planned(policy, study, site, digest)
    delta = plan.delta if plan else policy.max_delta
    return StudyFacts(
        study=study,
        site=site,
        digest=digest,
        approved=known,
        plan=plan if private else None,
        spent=ledger.epsilon_spent(delta=delta, study_digest=digest) if ledger and known else 0.0,
        refusal="" if known else _refusal(study, site, policy, private=private),
    )


def _refusal(study: Study, site: SiteSpec, policy: SitePolicy, *, private: bool) -> str:
    """The policy's first reason against a study that is not approved yet."""
    try:
        check_policy(policy, study, site, private=private)
    except PolicyRefused as refused:
        return str(refused)
    return ""
