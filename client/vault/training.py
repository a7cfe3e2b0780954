"""One round at a site: load the groups, run the mechanism's steps on the stage's loss, hand out a release.

The loss comes from `medm2g.stages` and sees one patient at a time; the mechanism from `privacy` and sees no model. What
stays in memory between rounds: the shared generator, each study's patients as features, and the stage's loss.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from client.records.store import RecordStore
from client.rights.opt_out import OptOuts, honouring
from client.vault.approval import Approval
from client.vault.dataset import PatientFeatures
from client.vault.errors import GeneratorMismatch, StateDamaged
from client.vault.feature_cache import FeatureCache
from client.vault.features import FeatureBuilder
from client.vault.generators import SharedGenerator, shared_generator
from client.vault.groups import HeldGroups
from client.vault.local_steps import local_steps
from client.vault.spending import epsilon_so_far
from client.vault.watch import RoundWatch, watched
from medm2g.stages import build_stage
from medm2g.subsets import Subsets
from privacy.engines import ExecutionSettings, PatientLoss
from privacy.events import LedgerContext
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.mechanism import Mechanism, MechanismConfig
from privacy.noise import NoiseStream
from privacy.non_private import NonPrivateConfig, NonPrivateMechanism
from privacy.patient_stream import PatientStream, SeededPatientStream
from protocol.groups import family_of, reads_of
from protocol.requests import TrainRequest
from protocol.study import StageSpec

DEFAULT_EXECUTION = ExecutionSettings(chunk_size=48, engine="batch")
"""On two CPU cores: a third less time than chunks of 16, for 0.2 GiB more at `tiny` size."""


@dataclass(frozen=True)
class RoundRelease:
    """All that a round may hand out."""

    updates: dict[str, dict[str, np.ndarray]]
    """By group: minus the noised mean gradient, or the move of several local steps over their rate."""
    event_digest: str
    """The ledger's head with the entry under which it was reserved, `NUMBER:DIGEST`."""
    metrics: dict[str, float]
    """Public constants only: no loss leaves, because none is noised and charged yet."""


class Trainer:
    """Runs the rounds of one site. Not safe to share between threads: the vault runs one round at a time."""

    def __init__(
        self,
        store: RecordStore,
        ledger: Ledger,
        keys: SiteKeys,
        *,
        opt_outs: OptOuts,
        generator_folder: Path,
        caches: Path,
        execution: ExecutionSettings | None = None,
        watch: RoundWatch | None = None,
    ) -> None:
        """`watch` is told of every step and may stop the round between two of them."""
        self.training_seconds = 0.0
        """Inside the mechanism's steps."""
        self._store, self._ledger, self._keys = store, ledger, keys
        self._opt_outs = opt_outs
        self._generator_folder, self._caches = generator_folder, caches
        self._execution = execution or DEFAULT_EXECUTION
        self._watch = watch or RoundWatch()
        self._shared: SharedGenerator | None = None
        self._stages: dict[tuple[object, ...], tuple[PatientFeatures, PatientLoss]] = {}

    def has(self, name: str, digest: str, held: HeldGroups) -> bool:
        """Whether this group lies here: sent earlier, or as the generator folder holds it."""
        return held.holds(name, digest) or self.shared.initial_digests.get(name) == digest

    @property
    def shared(self) -> SharedGenerator:
        """The generator, loaded at the first need: an idle site holds none."""
        if self._shared is None:
            self._shared = shared_generator(self._generator_folder)
        return self._shared

    @contextmanager
    def release(
        self, approval: Approval, stage: StageSpec, request: TrainRequest, held: HeldGroups
    ) -> Iterator[RoundRelease]:
        """Run the round; what is done with the release inside the block comes before the ledger's commit.

        Raises PrivacyError before anything is computed where the ledger has nothing left for it.
        """
        self._check_generator(approval)
        with self.shared.lock:
            groups = {name: self._arrays(name, request, held) for name in request.trains}
            parameters = _parameters(groups, self.shared)
            self._load_frozen(approval, stage, request, held)
            began = time.perf_counter()
            patients, loss = self._stage(approval, stage, request)
            self.training_seconds += time.perf_counter() - began
            present = self._opt_outs.participating(patients.pseudonyms())
            mechanism = self._mechanism(approval, stage, request.round_number, present)
            self._watch.check()  # the last moment at which stopping costs nothing
            with mechanism.open(stage.steps_per_round):
                event_digest = str(self._ledger.head())
                started = time.perf_counter()
                heeding = watched(honouring(loss, self._opt_outs), self._watch)
                update = local_steps(mechanism, heeding, parameters, stage, self._watch.step_taken)
                self.training_seconds += time.perf_counter() - started
                yield RoundRelease(
                    updates={name: {key: update[key] for key in arrays} for name, arrays in groups.items()},
                    event_digest=event_digest,
                    metrics=epsilon_so_far(self._ledger, approval.plan) if approval.plan else {},
                )

    # --- groups ------------------------------------------------------------------------------------------------------

    def _check_generator(self, approval: Approval) -> None:
        if self.shared.digest != approval.study.generator_digest:
            raise GeneratorMismatch(
                "The generator folder has changed since the study was approved: put the old one back."
            )
        stored, wanted = self.shared.generator.subsets, Subsets.of(approval.study.training)
        if stored != wanted:
            raise GeneratorMismatch(
                f"The generator folder is divided for training {stored.instead_of(wanted)}: install the folder that the"
                " study was made with."
            )

    def _load_frozen(self, approval: Approval, stage: StageSpec, request: TrainRequest, held: HeldGroups) -> None:
        """Groups that the stage reads without training them."""
        for name in approval.reads(stage):
            digest = request.reads[name]
            if name not in request.trains and not self.shared.loaded(name, digest):
                self.shared.load(name, digest, self._arrays(name, request, held))

    def _arrays(self, name: str, request: TrainRequest, held: HeldGroups) -> Mapping[str, np.ndarray]:
        """A group from the request, from the disk, or from the generator folder, in that order."""
        if name in request.groups:
            return request.groups[name]
        arrays = held.read(name, request.reads[name])
        if arrays is None and self.shared.initial_digests.get(name) == request.reads[name]:
            arrays = self.shared.initial(name)
        if arrays is None:
            raise StateDamaged(f"The group {name} that was held here is damaged: it was dropped, so ask again.")
        return arrays

    # --- the mechanism and its loss ----------------------------------------------------------------------------------

    def _stage(
        self, approval: Approval, stage: StageSpec, request: TrainRequest
    ) -> tuple[PatientFeatures, PatientLoss]:
        """The stage's patients and loss, kept for the next round; those of an earlier stage are let go."""
        frozen = tuple(sorted((name, digest) for name, digest in request.reads.items() if name not in request.trains))
        place = (approval.digest, stage.name, frozen, self._held_by_store())
        if place not in self._stages:
            self._stages.clear()
            patients = self._patients(approval, stage)
            loss = build_stage(
                stage.name,
                self.shared.generator,
                patients,
                flows=approval.site.flows,
                records_per_patient=stage.records_per_patient,
                timestep_draws=stage.timestep_draws,
                conditioning_dropout=approval.study.training.conditioning_dropout,
                source_prompts=approval.study.training.source_prompts,
                flow_weights=stage.flow_weights,
                anchors=self.shared.generator.anchors,
            )
            self._stages[place] = (patients, cast(PatientLoss, loss))  # a stage's Term is of the same structure
        return self._stages[place]

    def _held_by_store(self) -> str:
        """Changes when another process adds or forgets records: whoever left must not linger in memory."""
        held = json.dumps([self._store.patients(), self._store.counts()], sort_keys=True)
        return hashlib.sha256(held.encode()).hexdigest()

    def _patients(self, approval: Approval, stage: StageSpec) -> PatientFeatures:
        """The store through the frozen networks; what an earlier store or generator left in the cache is erased."""
        cache = FeatureCache(self._caches, self._keys.storage_key)
        reads = {family_of(name) for name in reads_of(approval.study, stage.name, approval.site)}
        features = FeatureBuilder(self._store, self.shared.generator, generator_digest=self.shared.digest, cache=cache)
        patients = PatientFeatures(
            self._store,
            self.shared.generator,
            approval.study,
            flows=approval.site.flows,
            features=features,
            with_images=stage.name == "align",
            with_aligned="alignment" in reads,
        )
        cache.keep_only(features.names)
        return patients

    def _mechanism(
        self, approval: Approval, stage: StageSpec, round_number: int, patients: list[str]
    ) -> Mechanism | NonPrivateMechanism:
        context = LedgerContext(study_digest=approval.digest, stage=stage.name, round_number=round_number)
        place = {"study_digest": approval.digest, "stage": stage.name, "round_number": round_number}
        declared = approval.site.declared_patients
        if approval.plan is None:
            seed = _site_seed(approval)
            return NonPrivateMechanism(
                NonPrivateConfig.from_declared(
                    sampling_probability=stage.sampling_probability,
                    declared_patients=declared,
                    steps=stage.steps_per_round,
                ),
                self._execution,
                ledger=self._ledger,
                patients=patients,
                patient_stream=SeededPatientStream(seed, **place),  # type: ignore[arg-type]
                context=context,
                seed=seed,
            )
        planned = approval.plan.stage_plan(stage.name)
        return Mechanism(
            MechanismConfig.from_declared(
                noise_multiplier=planned.event(approval.plan.noise_multiplier).noise_multiplier,
                clipping_norm=stage.clipping_norm,
                sampling_probability=planned.sampling_probability,
                declared_patients=declared,
                steps=stage.steps_per_round,
                batch_cap=planned.batch_cap,
                max_patients=planned.max_patients,
                lattice=approval.study.privacy.lattice,
            ),
            self._execution,
            noise=NoiseStream(),
            ledger=self._ledger,
            patients=patients,
            patient_stream=PatientStream(self._keys.stream_key, **place),  # type: ignore[arg-type]
            context=context,
        )


def _parameters(groups: Mapping[str, Mapping[str, np.ndarray]], shared: SharedGenerator) -> dict[str, Tensor]:
    """The trained groups as detached tensors. Raises GeneratorMismatch where they are not this generator's own.

    Copied, for torch's own memory begins at multiples of 64 bytes and numpy's and a message's do not: MKL's products of
    the same numbers differ in their last bits with the place they lie at, and equal seeds are to give equal updates.
    """
    parameters: dict[str, Tensor] = {}
    for name, arrays in groups.items():
        shapes = shared.shapes(name)
        if {key: tuple(array.shape) for key, array in arrays.items()} != shapes:
            raise GeneratorMismatch(f"The group {name} that was sent does not fit this generator.")
        for key in shapes:
            parameters[key] = torch.tensor(arrays[key], dtype=torch.float32, device=shared.generator.device)
    return parameters


def _site_seed(approval: Approval) -> int:
    """Public seed of a site's training without privacy."""
    text = f"fedm2g {approval.study.training.seed} {approval.site.name}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
