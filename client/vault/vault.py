"""The vault: the hospital's trusted process, the only one that reads records, ledger and keys.

Four methods, each with three moves: check policy, act, record. None takes a path, a query or code. What an answer
reveals stands in its docstring. What fails becomes a code and an incident number; the text stays in `incidents.log`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from client.records.store import RecordStore
from client.rights.opt_out import OptOuts
from client.site_config import SitePaths
from client.vault.approval import Approval, Approvals
from client.vault.errors import RequestInvalid, RoundsSpent, Withdrawn
from client.vault.groups import HeldGroups
from client.vault.incidents import Incident, IncidentLog
from client.vault.state import RoundName, RoundState
from client.vault.watch import RoundWatch
from client.vault.withdrawal import Withdrawals
from privacy.deidentify import Pseudonyms
from privacy.errors import PolicyRefused
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.policy import SitePolicy
from protocol.codes import Code
from protocol.digests import digest_folder, digest_group
from protocol.requests import SiteDescription, TrainReply, TrainRequest
from protocol.study import StageSpec, Study
from protocol.version import VERSION

if TYPE_CHECKING:
    from client.vault.training import Trainer
    from privacy.engines import ExecutionSettings

_HEX_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """One approved study, for this site's own eyes."""

    name: str
    private: bool
    rounds_finished: dict[str, int]
    """By stage."""
    epsilon_planned: float | None
    """Upper bound over every planned and spare step; None without privacy."""
    delta: float | None
    epsilon_spent: float
    """So far, at `delta`; infinite without privacy, once anything was released."""


@dataclass(frozen=True, kw_only=True)
class VaultStatus:
    """This site, for its own eyes: it holds the true number of patients and must not be sent."""

    site: str
    patients: int
    declared_patients: int
    max_epsilon: float
    studies: dict[str, StudyStatus]
    """By digest."""


class Vault:
    """One site's vault over its folder. Safe to call from several threads; one round runs at a time."""

    def __init__(
        self,
        site_dir: Path,
        *,
        generator_folder: Path,
        execution: ExecutionSettings | None = None,
        deployment: bool = False,
    ) -> None:
        """`deployment` refuses what only a simulation may do. Raises ConfigInvalid, KeysUnusable, LedgerTampered."""
        self._paths = paths = SitePaths(Path(site_dir)).prepare()
        self.policy = SitePolicy.read(paths.policy)
        self._keys = SiteKeys.open(paths.site_dir)
        self._ledger = Ledger(paths.ledger, self._keys.signing_key, self.policy)
        self._store = RecordStore.open(paths.site_dir)
        self._incidents = IncidentLog(paths.incidents)
        self._approvals = Approvals(paths.state, policy=self.policy, ledger=self._ledger, keys=self._keys)
        self._opt_outs = OptOuts(paths, Pseudonyms(self._keys.pseudonym_key))
        self._rounds = RoundState(paths.state)
        self._held = HeldGroups(paths.state / "groups")
        self._withdrawals = Withdrawals(paths.state)
        self._deployment, self._execution = deployment, execution
        self._generator_folder = Path(generator_folder)
        self.watch = RoundWatch()
        """What runs now. True numbers: for the site's own eyes."""
        self._one_at_a_time = threading.RLock()

    @cached_property
    def _trainer(self) -> Trainer:
        """Made at the first need, and torch imported with it: an idle site holds neither."""
        from client.vault.training import Trainer

        return Trainer(
            self._store,
            self._ledger,
            self._keys,
            opt_outs=self._opt_outs,
            generator_folder=self._generator_folder,
            caches=self._paths.state / "features",
            execution=self._execution,
            watch=self.watch,
        )

    @property
    def model_resident(self) -> bool:
        """Whether a round has needed the model in this process."""
        return "_trainer" in self.__dict__

    @property
    def training_seconds(self) -> float:
        """Seconds spent inside the mechanism's steps so far. For a simulation's report; never sent."""
        return self._trainer.training_seconds if self.model_resident else 0.0

    def describe(self, study_digest: str = "") -> SiteDescription:
        """Who this is. Reveals the registered name, versions, and digests that the study's server knows anyway.

        Behind a socket only `study_digest` is answered for (`client.vault.service`); here, all that are approved.
        """
        return SiteDescription(
            site=self.policy.name,
            versions={"fedm2g": VERSION},
            groups_held=self._held.digests(),
            studies=tuple(digest for digest in self._approvals.digests() if digest not in self._withdrawals.digests()),
        )

    def approve(self, study: Study) -> Approval:
        """Local only: hold the whole study against policy and store, fix its noise, and remember it by digest.

        Raises PrivacyError or VaultError with one sentence that says what to mend.
        """
        self._withdrawals.check(study.digest(version=VERSION))
        with self._one_at_a_time:
            return self._approvals.approve(
                study,
                generator_digest=digest_folder(self._generator_folder),
                patients=len(self._opt_outs.participating(self._store.patients())),
                deployment=self._deployment,
            )

    def status(self) -> VaultStatus:
        """Local only: what was approved, ran and was spent. Holds a true count."""
        return VaultStatus(
            site=self.policy.name,
            patients=len(self._store.patients()),
            declared_patients=self.policy.declared_patients,
            max_epsilon=self.policy.max_epsilon,
            studies={digest: self._study_status(digest) for digest in self._approvals.digests()},
        )

    def train(self, request: TrainRequest) -> TrainReply:
        """One round of an approved study. Reveals a release of the mechanism, or a code; never a loss or a count.

        Never raises for what goes wrong here. The reply leaves on the study's public time grid: how long a step took
        would tell how many patients were drawn.
        """
        try:
            with self._one_at_a_time:
                reply = self._train(request)
        except Exception as error:
            incident = self._incidents.record(error)
            reply = self._reply(request, incident.code, incident=incident.number)
        self._wait_for_release(request.study_digest)
        if reply.updates and request.study_digest in self._withdrawals.digests():  # while the reply waited
            incident = self._incidents.record(Withdrawn("The site withdrew before this round's reply had left."))
            return self._reply(request, incident.code, incident=incident.number)
        return reply

    def incident(self, error: BaseException) -> Incident:
        """Write an error that happened around this vault into its own log; what is returned may leave."""
        return self._incidents.record(error)

    def close(self) -> None:
        """Let go of files."""
        self._store.close()
        self._rounds.close()
        self._incidents.close()

    def stage(self, study_digest: str, name: str) -> StageSpec:
        """What an approved study says of one of its stages. Raises NotApproved, Withdrawn, RequestInvalid."""
        return _stage_of(self._approved(study_digest), name)

    # --- the three moves of a round ---------------------------------------------------------------------------------

    def _train(self, request: TrainRequest) -> TrainReply:
        approval = self._approved(request.study_digest)
        stage = _checked(request, approval)
        name = RoundName(
            study_digest=approval.digest,
            stage=stage.name,
            round_number=request.round_number,
            inputs_digest=request.inputs_digest,
        )
        if (kept := self._rounds.finished(name)) is not None:
            return kept
        if missing := self._missing(request, approval, stage):
            return self._reply(request, Code.NEEDS_GROUPS, missing=missing)
        watched = self.watch.running(
            study_digest=approval.digest,
            stage=stage.name,
            round_number=request.round_number,
            steps_planned=stage.steps_per_round,
        )
        self._rounds.begin(name)
        with watched, self._trainer.release(approval, stage, request, self._held) as release:
            expected = stage.sampling_probability * self.policy.declared_patients
            self.policy.check_leaving(release.metrics, expected_patients=expected)
            reply = self._reply(
                request, Code.OK, updates=release.updates, event_digest=release.event_digest, metrics=release.metrics
            )
            self._rounds.finish(name, reply)  # before the ledger commits: a crash between loses nothing
        return reply

    def _approved(self, study_digest: str) -> Approval:
        """The approval, if the site still stands by it. Raises NotApproved, Withdrawn, PolicyRefused."""
        approval = self._approvals.get(study_digest)
        self._withdrawals.check(approval.digest)
        if self._deployment and approval.study.federation.release_grid_seconds <= 0.0:
            raise PolicyRefused("The study was approved for simulation only, without a time grid: write one into it.")
        return approval

    def _missing(self, request: TrainRequest, approval: Approval, stage: StageSpec) -> tuple[str, ...]:
        """Groups that were neither sent nor lie here; those that came and are only read are kept for later rounds."""
        missing = []
        trained = set(approval.trains(stage))
        for name in approval.reads(stage):
            digest = request.reads[name]
            if name in request.groups:
                if digest_group(request.groups[name]) != digest:
                    raise RequestInvalid(f"The group {name} is not the one its digest names.")
                if name not in trained:
                    self._held.keep(name, digest, request.groups[name])
            elif not self._trainer.has(name, digest, self._held):
                missing.append(name)
        return tuple(missing)

    def _reply(self, request: TrainRequest, code: Code, **fields: object) -> TrainReply:
        plain = {"code": code, "site": self.policy.name, "inputs_digest": request.inputs_digest}
        return TrainReply(**plain | fields)  # type: ignore[arg-type]

    def _wait_for_release(self, study_digest: str) -> None:
        """Sleep until the next multiple of the approved study's grid, by the wall clock that everybody shares."""
        try:
            grid = self._approvals.get(study_digest).study.federation.release_grid_seconds
        except Exception:  # a study that is unknown here has trained nothing
            return
        if grid > 0.0:
            time.sleep(grid - time.time() % grid)

    def _study_status(self, digest: str) -> StudyStatus:
        approval = self._approvals.get(digest)
        delta = approval.study.privacy.delta_fraction / approval.site.declared_patients
        return StudyStatus(
            name=approval.study.name,
            private=approval.private,
            rounds_finished=self._rounds.finished_rounds(digest),
            epsilon_planned=approval.plan.epsilon if approval.plan else None,
            delta=approval.plan.delta if approval.plan else None,
            epsilon_spent=self._ledger.epsilon_spent(delta=delta, study_digest=digest),
        )


def _checked(request: TrainRequest, approval: Approval) -> StageSpec:
    """The stage, if the request follows from the approved study in every field. Raises RequestInvalid."""
    stage = _stage_of(approval, request.stage)
    if not 1 <= request.round_number <= stage.rounds:
        raise RoundsSpent(f"Stage {stage.name} has {stage.rounds} rounds in the approved study, and no other.")
    if sorted(request.trains) != sorted(approval.trains(stage)) or not request.trains:
        raise RequestInvalid("The groups to train are not those that this site's declared flows reach.")
    if set(request.reads) != set(approval.reads(stage)) or not set(request.groups) <= set(request.reads):
        raise RequestInvalid("The groups that the round reads are not those that the approved study names.")
    if not all(len(digest) == 64 and _HEX_DIGITS.issuperset(digest) for digest in request.reads.values()):
        raise RequestInvalid("A group's digest is not a SHA-256 in hexadecimal.")
    return stage


def _stage_of(approval: Approval, name: str) -> StageSpec:
    stage = approval.stages.get(name)  # type: ignore[call-overload]
    if stage is None:
        raise RequestInvalid("The approved study has no such stage.")
    return stage  # type: ignore[no-any-return]
