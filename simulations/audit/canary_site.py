"""A site of its own for the canary study: invented patients, canaries beside them, both declared and charged.

The canary study is a study in its own right. Its one site declares N + m patients (N phantoms, m canaries, whoever of
them is in), so sampling, divisor, delta and noise follow from N + m; it has keys, a policy, a ledger and an approved
plan, and every round is reserved before it runs. The mechanism, the stages' losses and their features are those that a
hospital's vault uses; parameters stay where the study starts, because a canary's score does not depend on them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from client.records.ingest import ingest
from client.records.store import RecordStore, has_store
from client.site_config import SitePaths
from client.vault.dataset import PatientFeatures
from client.vault.feature_cache import FeatureCache
from client.vault.features import FeatureBuilder
from client.vault.generators import SharedGenerator
from client.vault.training import DEFAULT_EXECUTION
from medm2g.stages import PatientRecords, PatientSource, build_stage
from privacy.accounting import plan_study
from privacy.audit.canaries import WithCanaries, logged
from privacy.audit.step_log import LoggedStep
from privacy.engines import PatientLoss
from privacy.events import LedgerContext, StudyPlan
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.mechanism import Mechanism, MechanismConfig
from privacy.noise import NoiseStream
from privacy.patient_stream import PatientStream
from privacy.policy import SitePolicy
from protocol.groups import family_of, reads_of
from protocol.study import SiteSpec, StageSpec, Study
from protocol.version import VERSION
from simulations.phantoms import export_hospital
from simulations.scenario import prepare_site

PHANTOM_SEED = 55_000
"""Far from the seeds of sites, of held-out phantoms and of the referee."""


@dataclass(frozen=True)
class CanarySite:
    """One site folder of the canary study."""

    study: Study
    spec: SiteSpec
    folder: Path
    plan: StudyPlan
    stream_type: type[NoiseStream]
    """NoiseStream; tests plant another one here, in the open."""

    @classmethod
    def build(
        cls, study: Study, spec: SiteSpec, folder: Path, *, phantoms: int, size: int, stream_type: type[NoiseStream]
    ) -> CanarySite:
        """Keys, policy, store of so many phantoms, and the approved plan. Raises PrivacyError."""
        prepare_site(study, spec, folder)
        if phantoms:
            _ingest_phantoms(study, spec, folder, phantoms, size)
        paths = SitePaths(folder).prepare()
        policy = SitePolicy.read(paths.policy)
        delta = study.privacy.delta_fraction / spec.declared_patients
        policy.check(
            declared_patients=spec.declared_patients,
            stages=[stage.name for stage in study.stages],
            flows=spec.flows,
            private=True,
            epsilon=study.privacy.max_epsilon,
            delta=delta,
            coordinator=study.coordinator,
        )
        plan = plan_study(
            study_digest=study.digest(version=VERSION),
            stages={s.name: (s.sampling_probability, s.rounds * s.steps_per_round) for s in study.stages},
            spare=study.privacy.spare_rounds,
            max_epsilon=study.privacy.max_epsilon,
            delta=delta,
        )
        site = cls(study, spec, folder, plan, stream_type)
        site.ledger().approve(plan)
        return site

    def ledger(self) -> Ledger:
        """The site's own ledger."""
        paths = SitePaths(self.folder)
        return Ledger(paths.ledger, SiteKeys.open(self.folder).signing_key, SitePolicy.read(paths.policy))

    def run(
        self, shared: SharedGenerator, included: list[str], *, canaries: int, on_round: Callable[[], None]
    ) -> list[LoggedStep]:
        """Every round of every stage with these canaries in; what an observer of all releases logs."""
        log: list[LoggedStep] = []
        for stage in self.study.stages:
            log += self._run_stage(stage, shared, included, canaries, on_round)
        return log

    def _run_stage(
        self,
        stage: StageSpec,
        shared: SharedGenerator,
        included: list[str],
        canaries: int,
        on_round: Callable[[], None],
    ) -> list[LoggedStep]:
        patients, loss = self._loss(stage, shared)
        guarded = WithCanaries(loss, canaries=canaries, clipping_norm=stage.clipping_norm)
        parameters = self._parameters(stage, shared) | guarded.parameters()
        log = []
        for number in range(1, stage.rounds + 1):
            mechanism = self._mechanism(stage, number, patients + included)
            with mechanism.open(stage.steps_per_round):
                for _ in range(stage.steps_per_round):
                    release = mechanism.step(parameters, guarded)
                    divisor = mechanism.config.expected_batch_size
                    log.append(logged(release, clipping_norm=stage.clipping_norm, expected_batch_size=divisor))
            on_round()
        return log

    def _loss(self, stage: StageSpec, shared: SharedGenerator) -> tuple[list[str], PatientLoss]:
        """The phantoms and the stage's loss over them, as the vault builds both; nobody at a site without records."""
        patients, source = ([], _Nobody()) if not has_store(self.folder) else self._patients(stage, shared)
        loss = build_stage(
            stage.name,
            shared.generator,
            source,
            flows=self.spec.flows,
            records_per_patient=stage.records_per_patient,
            timestep_draws=stage.timestep_draws,
            conditioning_dropout=self.study.training.conditioning_dropout,
            source_prompts=self.study.training.source_prompts,
            flow_weights=stage.flow_weights,
            anchors=shared.generator.anchors,
        )
        return patients, cast(PatientLoss, loss)

    def _patients(self, stage: StageSpec, shared: SharedGenerator) -> tuple[list[str], PatientSource]:
        """Pseudonyms, and their features in memory."""
        keys = SiteKeys.open(self.folder)
        cache = FeatureCache(SitePaths(self.folder).state / "features", keys.storage_key)
        reads = {family_of(name) for name in reads_of(self.study, stage.name, self.spec)}
        with closing(RecordStore.open(self.folder)) as store:
            features = PatientFeatures(
                store,
                shared.generator,
                self.study,
                flows=self.spec.flows,
                features=FeatureBuilder(store, shared.generator, generator_digest=shared.digest, cache=cache),
                with_images=stage.name == "align",
                with_aligned="alignment" in reads,
            )
            return features.pseudonyms(), features

    def _parameters(self, stage: StageSpec, shared: SharedGenerator) -> dict[str, Tensor]:
        names = self.study.groups_of(stage.name, self.spec)
        return {key: torch.tensor(array) for name in names for key, array in shared.initial(name).items()}

    def _mechanism(self, stage: StageSpec, round_number: int, patients: list[str]) -> Mechanism:
        place = {"study_digest": self.plan.study_digest, "stage": stage.name, "round_number": round_number}
        return _mechanism_type(self.stream_type)(
            MechanismConfig.from_declared(
                noise_multiplier=self.plan.noise_multiplier,
                clipping_norm=stage.clipping_norm,
                sampling_probability=stage.sampling_probability,
                declared_patients=self.spec.declared_patients,
                steps=stage.steps_per_round,
            ),
            DEFAULT_EXECUTION,
            noise=self.stream_type(),
            ledger=self.ledger(),
            patients=patients,
            patient_stream=PatientStream(SiteKeys.open(self.folder).stream_key, **place),  # type: ignore[arg-type]
            context=LedgerContext(**place),  # type: ignore[arg-type]
        )


def _mechanism_type(stream_type: type[NoiseStream]) -> type[Mechanism]:
    """The mechanism itself; a planted stream is taken only by a subclass that says so."""
    if stream_type is NoiseStream:
        return Mechanism
    return cast(type[Mechanism], type("PlantedMechanism", (Mechanism,), {"stream_type": stream_type}))


class _Nobody:
    """A source of patients without any."""

    def patient(self, pseudonym: str) -> PatientRecords:
        raise KeyError("nobody is here")


def _ingest_phantoms(study: Study, spec: SiteSpec, folder: Path, phantoms: int, size: int) -> None:
    export = folder / "export"
    try:
        export_hospital(
            export,
            patients=phantoms,
            seed=PHANTOM_SEED + study.training.seed,
            population=spec.population or "public",
            flows=spec.flows,
            size=size,
        )
        ingest(folder, export, image_size=size)
    finally:
        shutil.rmtree(export, ignore_errors=True)
