"""The arms of a comparison: the study as it is, and what it is to be held against."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from protocol.study import SiteSpec, Study
from simulations.study_file import without_privacy

EPSILONS = (1.0, 3.0, 8.0)
POOLED = "pooled"
"""The site of nobody's hospital that holds everybody's patients."""


class Kind(StrEnum):
    """Whose patients an arm trains on."""

    federated = "federated"
    alone = "alone"
    pooled = "pooled"
    public = "public"


@dataclass(frozen=True)
class Arm:
    """One condition."""

    name: str
    """Of its folder and its row."""
    title: str
    kind: Kind
    study: Study
    hospitals: tuple[SiteSpec, ...]
    """All sites of the study that is compared, in its order."""

    @property
    def private(self) -> bool:
        """Whether it trains under differential privacy."""
        return self.study.privacy.enabled and self.kind is not Kind.public


def arms_of(study: Study) -> list[Arm]:
    """Public alone; every site alone, with and without privacy; federated at several ε, and without; pooled."""
    unprivate, own = without_privacy(study), study.privacy.max_epsilon
    found = [("public-longer", "same compute on more public patients", Kind.public, unprivate)]
    for site in study.sites:
        found += [
            (f"alone-{site.name}", f"{site.name} alone, ε ≤ {own:g}", Kind.alone, _alone(study, site)),
            (f"alone-{site.name}-open", f"{site.name} alone, no privacy", Kind.alone, _alone(unprivate, site)),
        ]
    for epsilon in sorted({*EPSILONS, own}):
        found.append((f"federated-{epsilon:g}", f"federated, ε ≤ {epsilon:g}", Kind.federated, _at(study, epsilon)))
    found += [
        ("federated-open", "federated, no privacy", Kind.federated, unprivate),
        (POOLED, "all data in one place, which nobody may do; no privacy", Kind.pooled, _pooled(unprivate)),
    ]
    return [Arm(*arm, hospitals=study.sites) for arm in found]


def _at(study: Study, epsilon: float) -> Study:
    return study.model_copy(update={"privacy": study.privacy.model_copy(update={"max_epsilon": epsilon})})


def _alone(study: Study, site: SiteSpec) -> Study:
    """The same rounds with one site: it can be asked for no more than its own declared flows."""
    kept = next(own for own in study.sites if own.name == site.name)
    return _of_sites(study, (kept,))


def _pooled(study: Study) -> Study:
    """Sampled at the same rate, so that a step has as many patients as all sites' steps together."""
    flows = tuple(flow.name for flow in study.flows if any(flow.name in site.flows for site in study.sites))
    patients = sum(site.declared_patients for site in study.sites)
    return _of_sites(study, (SiteSpec(name=POOLED, flows=flows, declared_patients=patients, private=False),))


def _of_sites(study: Study, sites: tuple[SiteSpec, ...]) -> Study:
    federation = study.federation.model_copy(update={"quorum": min(study.federation.quorum, len(sites))})
    return study.model_copy(update={"sites": sites, "federation": federation})
