"""No sequence of requests, edits, crashes and restores makes a vault exceed its policy.

The vault is real, with its ledger, approvals and rounds on disk; only the gradients are left out, because what is
explored is who may spend what. After every step the ledger is audited as an outsider would, and every release is held
against the policy file as it stood then.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from client.vault import training
from client.vault.errors import VaultError
from client.vault.training import Trainer
from client.vault.vault import Vault
from privacy.anchor import HeadAnchor
from privacy.audit.ledger_checks import check_ledger
from privacy.errors import ConfigInvalid, LedgerTampered, PrivacyError
from privacy.keys import SiteKeys
from privacy.policy import SitePolicy
from protocol.codes import Code
from protocol.requests import TrainReply, TrainRequest
from protocol.study import Study
from protocol.version import VERSION

SITE = {"name": "north", "flows": ["xray", "text"], "declared_patients": 12}
STAGES = [{"name": name, "rounds": 2, "sampling_probability": 0.3} for name in ("align", "diffuse")]
#: name, the terms that differ: dear and cheap, without privacy, for a stranger, of other steps, twice the delta
STUDIES: dict[str, dict[str, Any]] = {
    "cheap": {"privacy": {"max_epsilon": 3.0, "spare_rounds": 0.5}},
    "dear": {"privacy": {"max_epsilon": 7.0, "spare_rounds": 0.5}},
    "beyond": {"privacy": {"max_epsilon": 9.0}},
    "open": {"privacy": {"enabled": False}},
    "half-open": {"sites": [SITE | {"private": False}]},
    "stranger": {"coordinator": "elsewhere"},
    "counted": {"sites": [SITE | {"declared_patients": 11}]},
    "again": {"privacy": {"max_epsilon": 7.0, "spare_rounds": 0.5}, "training": {"seed": 9}},
}
EDITS = st.sampled_from(
    [
        {"max_epsilon": 8.0, "max_epsilon_per_study": 8.0},
        {"max_epsilon": 20.0, "max_epsilon_per_study": 8.0},
        {"max_epsilon": 20.0, "max_epsilon_per_study": 5.0},
        {"allowed_stages": ["align"]},
        {"allowed_stages": ["align", "diffuse"]},
        {"allow_non_private": True},
        {"allow_non_private": False},
        {"coordinators": ["consortium"]},
        {"coordinators": []},
        {"minimum_patients": 13},
        {"minimum_patients": 5},
    ]
)


class Crash(BaseException):
    """As if the process were killed."""


def test_no_sequence_of_requests_makes_the_vault_exceed_its_policy(
    memory_path: Path,
    build_site: Callable[..., Any],
    make_study: Callable[..., Study],
    make_request: Callable[..., TrainRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dying = {"now": False}

    def no_training(mechanism: Any, loss: Any, parameters: Any, *_: Any) -> dict[str, np.ndarray]:
        if dying["now"]:
            raise Crash
        return {name: value.numpy() for name, value in parameters.items()}

    class NoPatients:
        def pseudonyms(self) -> list[str]:
            return [f"pseudonym-{number:03d}" for number in range(12)]

    monkeypatch.setattr(training, "local_steps", no_training)
    monkeypatch.setattr(Trainer, "_stage", lambda *_: (NoPatients(), None))
    studies = {
        name: make_study(**{"name": name, "sites": [SITE], "stages": STAGES} | terms) for name, terms in STUDIES.items()
    }
    built = iter(range(1000))

    @cache
    def request(name: str, stage: str, number: int) -> TrainRequest:
        return make_request(studies[name], stage, round_number=number)

    def restored(files: dict[Path, bytes]) -> None:
        for path, content in files.items():
            path.write_bytes(content)

    class Consortium(RuleBasedStateMachine):
        @initialize(approved=st.lists(st.sampled_from(["cheap", "dear", "again"]), min_size=1, unique=True))
        def begin(self, approved: list[str]) -> None:
            parent = memory_path / str(next(built))
            parent.mkdir()
            self.site = build_site(parent)
            self.folder: Path = self.site.folder
            self.put_back = False
            self.released: set[tuple[str, str, int]] = set()
            self.vault: Vault = self.site.vault()
            for name in approved:
                self.approve(name)

        def policy(self) -> SitePolicy:
            return SitePolicy.read(self.folder / "site.toml")

        def reopen(self) -> None:
            self.vault.close()
            self.vault = self.site.vault()

        @rule(name=st.sampled_from(sorted(STUDIES)))
        def approve(self, name: str) -> None:
            study, policy = studies[name], self.policy()
            before = self.vault.describe().studies
            try:
                self.vault.approve(study)
            except (PrivacyError, VaultError):
                return
            if study.digest(version=VERSION) not in before:
                assert not self.put_back
                assert allowed(study, policy) and policy.minimum_patients <= 12

        @rule(
            name=st.sampled_from(["cheap", "dear", "again"] * 4 + sorted(STUDIES)),
            stage=st.sampled_from(["align", "align", "diffuse", "guide"]),
            number=st.sampled_from([1, 1, 2, 2, 0, 3]),
            other=st.sampled_from(["", "", "", "", "inputs", "groups", "study"]),
        )
        def ask(self, name: str, stage: str, number: int, other: str) -> None:
            asked = request(name, stage if stage != "guide" else "align", number)
            values = {field: getattr(asked, field) for field in asked.__dataclass_fields__}
            if other == "inputs":
                groups = {key: {k: v + 1 for k, v in arrays.items()} for key, arrays in asked.groups.items()}
                asked = make_request(studies[name], asked.stage, round_number=number, groups=groups)
            elif other == "groups":
                asked = TrainRequest(**values | {"trains": ("alignment/ct",)})
            elif other == "study":
                asked = TrainRequest(**values | {"study_digest": "0" * 64})
            elif stage == "guide":
                asked = TrainRequest(**values | {"stage": "guide"})
            self.check(self.vault.train(asked), asked, name)

        @rule(name=st.sampled_from(["cheap", "dear", "again"]), number=st.integers(1, 2), times=st.integers(1, 5))
        def die(self, name: str, number: int, times: int) -> None:
            for _ in range(times):
                dying["now"] = True
                try:
                    self.vault.train(request(name, "align", number))
                except Crash:
                    pass
                finally:
                    dying["now"] = False
            self.reopen()
            self.ask(name, "align", number, "")

        @rule(changes=EDITS, name=st.sampled_from(["cheap", "dear", "again", "open"]))
        def edit(self, changes: dict[str, Any], name: str) -> None:
            path = self.folder / "site.toml"
            before = path.read_text()
            path.write_text(tomli_w.dumps(tomllib.loads(before) | changes))
            try:
                self.reopen()  # as the daemon does for a policy that was edited
            except ConfigInvalid:
                path.write_text(before)
                self.reopen()
            self.approve(name)
            for number in (1, 2):
                self.ask(name, "diffuse", number, "")

        @rule(name=st.sampled_from(["cheap", "dear", "again"]), reopening=st.booleans())
        def put_an_old_ledger_back(self, name: str, reopening: bool) -> None:
            """Whatever is asked of it, an old ledger spends nothing; then the newest is restored."""
            old = {path: path.read_bytes() for path in self.folder.glob("ledger.sqlite*")}
            head = self.vault._ledger.head()
            self.die(name, 1, 1)
            newest = {path: path.read_bytes() for path in self.folder.glob("ledger.sqlite*")}
            if self.vault._ledger.head() == head:
                return
            restored(old)
            self.put_back = True
            if reopening:
                with pytest.raises(LedgerTampered):
                    self.site.vault()
            for stage in ("align", "diffuse"):
                asked = request(name, stage, 2)
                reply = self.vault.train(asked)
                kept = (asked.study_digest, stage, 2) in self.released  # a kept reply costs nothing
                assert reply.code is not Code.OK or kept
            self.approve("half-open")
            restored(newest)
            self.put_back = False
            self.reopen()

        def check(self, reply: TrainReply, asked: TrainRequest, name: str) -> None:
            if reply.code is not Code.OK:
                assert not reply.updates
                return
            event("released")
            policy = self.policy()
            assert asked.study_digest == studies[name].digest(version=VERSION)
            assert allowed(studies[name], policy) and 1 <= asked.round_number <= 2
            assert set(reply.metrics) <= {"epsilon_spent"}
            self.released.add((asked.study_digest, asked.stage, asked.round_number))

        @invariant()
        def an_auditor_finds_nothing(self) -> None:
            if not hasattr(self, "vault") or self.put_back:
                return
            key, anchor = SiteKeys.open(self.folder).public_key, HeadAnchor.in_keys(self.folder / "keys").read()
            wrong = [
                r for r in check_ledger(self.folder / "ledger.sqlite", public_key=key, anchor=anchor) if not r.passed
            ]
            assert not wrong, wrong

        def teardown(self) -> None:
            if hasattr(self, "vault"):
                self.vault.close()

    def allowed(study: Study, policy: SitePolicy) -> bool:
        """Written apart from the code under test: may this study run under this policy?"""
        (site,) = study.sites
        private = study.privacy.enabled and site.private
        return (
            site.declared_patients == policy.declared_patients
            and {stage.name for stage in study.stages} <= set(policy.allowed_stages)
            and (not policy.coordinators or study.coordinator in policy.coordinators)
            and policy.declared_patients >= policy.minimum_patients
            and (study.privacy.max_epsilon <= policy.max_epsilon_per_study if private else policy.allow_non_private)
        )

    run_state_machine_as_test(
        Consortium,
        settings=settings(
            max_examples=6,
            stateful_step_count=15,
            deadline=None,
            phases=[Phase.generate],  # a failure is found, not made smaller: each step waits for a disk
            suppress_health_check=list(HealthCheck),
        ),
    )
