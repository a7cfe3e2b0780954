"""Approval seen by a person: what a study would run here, what it would cost, what would leave; then the signature.

Everything said here is derived from the study, the policy, the ledger and the installed generator, with the same
functions that the vault holds every round to afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from client.records.store import RecordStore
from client.rights.opt_out import OptOuts
from client.site_config import SitePaths
from client.vault.approval import Approval, Approvals
from client.vault.errors import GeneratorMismatch
from client.vault.settings import VaultSettings
from client.vault.withdrawal import Withdrawals
from medm2g.curves import other_curve, stored_curves
from medm2g.errors import MedM2GError
from medm2g.subsets import Subsets
from privacy.deidentify import Pseudonyms
from privacy.events import StudyPlan
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.policy import SitePolicy
from protocol.codec import CODECS, UPDATE_CODEC
from protocol.digests import digest_folder
from protocol.study import SiteSpec, StageSpec, Study
from protocol.version import VERSION


@dataclass(frozen=True)
class Proposal:
    """A study as it would run at this site; nothing is signed yet."""

    study: Study
    """Bound to the generator that is installed here."""
    digest: str
    site: SiteSpec
    policy: SitePolicy
    plan: StudyPlan | None
    """None without privacy."""
    parameters: dict[str, int]
    """Of every group that would train here."""
    spent_before: float
    """Epsilon of everything before, at the policy's lifetime delta."""
    already_approved: bool

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Groups that each stage trains here."""
        return {stage.name: self.study.groups_of(stage.name, self.site) for stage in self.study.stages}

    def bytes_of(self, stage: StageSpec) -> int:
        """Of one reply of that stage, without framing."""
        return sum(CODECS[UPDATE_CODEC].size(self.parameters[name]) for name in self.groups[stage.name])


class ApprovalDesk:
    """A site's folder, opened to look at studies and to sign them. Only the vault's user can."""

    def __init__(self, site_dir: Path) -> None:
        """Raises ClientError or PrivacyError with one sentence that says what to mend."""
        paths = SitePaths(Path(site_dir)).prepare()
        self._policy, keys = SitePolicy.read(paths.policy), SiteKeys.open(paths.site_dir)
        self._ledger = Ledger(paths.ledger, keys.signing_key, self._policy)
        self._approvals = Approvals(paths.state, policy=self._policy, ledger=self._ledger, keys=keys)
        self._opt_outs = OptOuts(paths, Pseudonyms(keys.pseudonym_key))
        self._withdrawals = Withdrawals(paths.state)
        self._generator = VaultSettings.read(paths.site_dir).generator_folder()
        self._store = RecordStore.open(paths.site_dir)

    def propose(self, study: Study) -> Proposal:
        """Hold the study against policy and store. Raises PrivacyError or VaultError: the reason against it."""
        study, terms = self._bound(study)
        digest = study.digest(version=VERSION)
        self._withdrawals.check(digest)
        plan = self._approvals.proposed(study, **terms)  # type: ignore[arg-type]
        site = study.site(self._policy.name)
        groups = {name for stage in study.stages for name in study.groups_of(stage.name, site)}
        return Proposal(
            study=study,
            digest=digest,
            site=site,
            policy=self._policy,
            plan=plan,
            parameters={name: _parameters(self._generator, name) for name in groups},
            spent_before=self._ledger.epsilon_spent(delta=self._policy.max_delta),
            already_approved=digest in self._approvals.digests(),
        )

    def approve(self, proposal: Proposal) -> Approval:
        """Sign. Raises BudgetExceeded where all studies together would exceed the lifetime, and as `propose`."""
        study, terms = self._bound(proposal.study)
        return self._approvals.approve(study, **terms)  # type: ignore[arg-type]

    def close(self) -> None:
        """Let go of files."""
        self._store.close()

    def _bound(self, study: Study) -> tuple[Study, dict[str, object]]:
        """The study as the coordinator binds it, and what both looks at it need."""
        digest = digest_folder(self._generator)
        if study.generator_digest not in ("", digest):
            raise GeneratorMismatch(
                "The generator folder installed here is not the one the study starts from: install that folder, and "
                "name it as `generator` in vault.toml."
            )
        stored, wanted = _subsets(self._generator), Subsets.of(study.training)
        if stored != wanted:
            raise GeneratorMismatch(
                f"The generator installed here is divided for training {stored.instead_of(wanted)}: ask the coordinator"
                " which folder the study was made with."
            )
        if flow := other_curve(stored_curves(self._generator), study.curves):
            raise GeneratorMismatch(
                f"The generator installed here learnt the flow {flow} along another tone curve than the study's "
                "`intensity` says: ask the coordinator to mend the study."
            )
        patients = len(self._opt_outs.participating(self._store.patients()))
        return study.with_generator(digest=digest), {
            "generator_digest": digest,
            "patients": patients,
            "deployment": True,
        }


@contextmanager
def approval_desk(site_dir: Path) -> Iterator[ApprovalDesk]:
    """The desk, closed afterwards."""
    desk = ApprovalDesk(site_dir)
    try:
        yield desk
    finally:
        desk.close()


def _subsets(generator: Path) -> Subsets:
    """By which the folder is divided. Raises GeneratorMismatch."""
    try:
        return Subsets.stored_in(generator)
    except MedM2GError as error:
        raise GeneratorMismatch(str(error)) from None


def _parameters(generator: Path, group: str) -> int:
    """How many numbers a group has, from its file's header. Raises GeneratorMismatch where there is none."""
    path = generator / "groups" / f"{group}.safetensors"
    if not path.is_file():
        raise GeneratorMismatch(f"The generator installed here has no group {group}, which the study would train.")
    total = 0
    with safe_open(path, framework="numpy") as tensors:
        for name in tensors.keys():
            size = 1
            for extent in tensors.get_slice(name).get_shape():
                size *= extent
            total += size
    return total
