"""Approval: the one moment at which a site looks at a whole study and says yes, for good and by digest.

Everything that the study may ever spend here is fixed now: its stages, flows and terms, the noise that keeps all
planned and spare rounds within its epsilon, and the plan in the ledger from which every round draws. Afterwards a round
only needs to follow from what was approved. The approval is a signed file, so that nobody widens it by editing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature

from client.vault.durable import write_durably
from client.vault.errors import GeneratorMismatch, NotApproved, StateDamaged
from privacy.accounting import plan_study
from privacy.errors import OutsideDeclaration, PolicyRefused
from privacy.events import StudyPlan
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.policy import SitePolicy, check_store
from protocol.errors import StudyInvalid
from protocol.groups import reads_of
from protocol.study import SiteSpec, StageSpec, Study
from protocol.version import VERSION


@dataclass(frozen=True)
class Approval:
    """An approved study, as this site will hold it to."""

    digest: str
    study: Study
    site: SiteSpec
    """What the study says of this site; equal to what the policy declares."""
    plan: StudyPlan | None
    """Noise and steps of every stage; None where this site takes part without privacy."""

    @property
    def private(self) -> bool:
        """Whether the true mechanism runs here."""
        return self.plan is not None

    @cached_property
    def stages(self) -> dict[str, StageSpec]:
        """The study's stages by name."""
        return {stage.name: stage for stage in self.study.stages}

    def beginnings_allowed(self, stage: StageSpec) -> int | None:
        """How often rounds of a stage may begin: planned rounds and spare ones; None where nothing is spent."""
        if self.plan is None:
            return None
        return self.plan.stage_event(stage.name).steps // stage.steps_per_round

    def trains(self, stage: StageSpec) -> tuple[str, ...]:
        """Groups that this site trains: what its declared flows reach, never what its store holds."""
        return self.study.groups_of(stage.name, self.site)

    def reads(self, stage: StageSpec) -> tuple[str, ...]:
        """Groups that a round depends on: those trained and those only read."""
        return (*self.trains(stage), *reads_of(self.study, stage.name, self.site))


class Approvals:
    """The approvals of one site, in `<site_dir>/state/approvals` and in its ledger."""

    def __init__(self, folder: Path, *, policy: SitePolicy, ledger: Ledger, keys: SiteKeys) -> None:
        self._folder = folder / "approvals"
        self._policy, self._ledger, self._keys = policy, ledger, keys
        self._known: dict[str, Approval] = {}

    def digests(self) -> tuple[str, ...]:
        """Digests of the approved studies."""
        return tuple(sorted(path.stem for path in self._folder.glob("*.json")))

    def get(self, digest: str) -> Approval:
        """The approval of that digest. Raises NotApproved, or StateDamaged where its file was changed."""
        if digest not in self._known:
            if digest not in self.digests():  # never a path made of what a server sent
                raise NotApproved("This study is not approved here: approve its study.toml first.")
            self._known[digest] = self._read(digest)
        return self._known[digest]

    def approve(self, study: Study, *, generator_digest: str, patients: int, deployment: bool) -> Approval:
        """Check the whole study against the policy, calibrate its noise, and remember it. Again changes nothing.

        `patients` is the true number in the store: it is compared with the declaration here and goes no further.
        Raises OutsideDeclaration, GeneratorMismatch, PolicyRefused, BudgetExceeded, ConfigInvalid.
        """
        digest = study.digest(version=VERSION)
        if digest in self.digests():
            self._named_site(study)
            return self.get(digest)
        plan = self.proposed(study, generator_digest=generator_digest, patients=patients, deployment=deployment)
        if plan is not None:
            self._ledger.approve(plan)
        else:
            self._ledger.check_lifetime()  # nothing is spent, but no study begins on a ledger that is an old copy
        self._write(digest, study)
        return self.get(digest)

    def proposed(self, study: Study, *, generator_digest: str, patients: int, deployment: bool) -> StudyPlan | None:
        """What `approve` would put into the ledger; None without privacy. Changes nothing. Raises as `approve`."""
        site = self._named_site(study)
        if study.generator_digest != generator_digest:
            raise GeneratorMismatch(
                "The generator folder installed here is not the one the study starts from: install that folder first."
            )
        private = study.privacy.enabled and site.private
        check_policy(self._policy, study, site, private=private)
        self._check_store(patients)
        if deployment and study.federation.release_grid_seconds <= 0.0:
            raise PolicyRefused("The study releases replies at once, which shows how long a step took: set a grid.")
        return planned(self._policy, study, site, study.digest(version=VERSION)) if private else None

    def _named_site(self, study: Study) -> SiteSpec:
        try:
            return study.site(self._policy.name)
        except StudyInvalid:
            raise PolicyRefused(f"The study does not name this site, {self._policy.name}, among its sites.") from None

    def _check_store(self, patients: int) -> None:
        check_store(self._policy, patients=patients)
        if patients < self._policy.declared_patients:
            raise OutsideDeclaration(
                "The store holds fewer patients than this site declares: ingest the rest, or declare fewer."
            )

    def _write(self, digest: str, study: Study) -> None:
        terms = {"digest": digest, "version": VERSION, "study": study.model_dump(mode="json")}
        terms |= {"approved_at": datetime.now(UTC).isoformat(timespec="seconds"), "policy": self._policy.digest()}
        signature = self._keys.signing_key.sign(_canonical(terms)).hex()
        write_durably(self._folder / f"{digest}.json", _canonical({"terms": terms, "signature": signature}))

    def _read(self, digest: str) -> Approval:
        try:
            content = json.loads((self._folder / f"{digest}.json").read_bytes())
            terms = content["terms"]
            self._keys.signing_key.public_key().verify(bytes.fromhex(content["signature"]), _canonical(terms))
            study = Study.from_dict(terms["study"])
        except (ValueError, KeyError, TypeError, InvalidSignature, StudyInvalid):
            raise StateDamaged("An approval's file does not verify: delete it and approve the study again.") from None
        if terms["digest"] != digest or study.digest(version=VERSION) != digest:
            raise NotApproved("This study was approved with another version of fedm2g: approve it again.")
        site = study.site(self._policy.name)
        private = study.privacy.enabled and site.private
        check_policy(self._policy, study, site, private=private)  # the policy may have become stricter since
        self._ledger.check_lifetime()
        plan = self._ledger.plan(digest)
        if private and plan is None:
            raise StateDamaged("The ledger holds no plan of an approved study: restore the ledger or approve again.")
        return Approval(digest=digest, study=study, site=site, plan=plan if private else None)


def check_policy(policy: SitePolicy, study: Study, site: SiteSpec, *, private: bool) -> None:
    """Whether the policy takes the study. What it would spend is known before any noise is calibrated, because
    calibration stays below `max_epsilon`. Raises PolicyRefused."""
    policy.check(
        declared_patients=site.declared_patients,
        stages=[stage.name for stage in study.stages],
        flows=site.flows,
        private=private,
        epsilon=study.privacy.max_epsilon if private else None,
        delta=_delta(study, site) if private else None,
        coordinator=study.coordinator,
    )


def planned(policy: SitePolicy, study: Study, site: SiteSpec, digest: str) -> StudyPlan:
    """All that a private study may spend at this site, calibrated. Raises ConfigInvalid."""
    return plan_study(
        study_digest=digest,
        stages={s.name: (s.sampling_probability, s.rounds * s.steps_per_round) for s in study.stages},
        spare=study.privacy.spare_rounds,
        max_epsilon=study.privacy.max_epsilon,
        delta=_delta(study, site),
        capped_at=policy.max_patients if study.privacy.batch_cap else None,
    )


def _delta(study: Study, site: SiteSpec) -> float:
    return study.privacy.delta_fraction / site.declared_patients


def _canonical(values: dict[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
