"""What a vault lets go is held against its policy at the last moment, and who opted out is in none of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from client.records.store import RecordRow, RecordStore
from client.vault import training
from client.vault.training import Trainer
from privacy.chain import Head
from privacy.deidentify import Identity, Pseudonyms
from privacy.errors import BudgetExceeded, OutsideDeclaration
from protocol.codes import Code

Make = Callable[..., Any]


def test_a_measured_figure_that_the_policy_keeps_stops_the_reply(
    make_site: Make, make_study: Make, make_request: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, study = make_site().vault(), make_study()
    vault.approve(study)
    monkeypatch.setattr(training, "epsilon_so_far", lambda *_: {"epsilon_spent": 1.0, "loss": 0.3})
    reply = vault.train(make_request(study, "align"))
    assert reply.code is Code.POLICY_REFUSED and not reply.updates and not reply.metrics


def test_a_release_names_the_ledgers_head(make_site: Make, make_study: Make, make_request: Make) -> None:
    vault, study = make_site().vault(), make_study()
    vault.approve(study)
    heads = [Head.read(vault.train(make_request(study, "align", round_number=n)).event_digest) for n in (1, 2)]
    entries = {entry.head: entry.kind for entry in vault._ledger.entries()}
    assert [entries[head] for head in heads] == ["reserved", "reserved"]
    assert heads[0].sequence < heads[1].sequence


def test_a_lifetime_that_was_lowered_stops_what_was_approved(
    make_site: Make, make_study: Make, make_request: Make
) -> None:
    site, study = make_site(), make_study()
    site.vault().approve(study)
    policy = site.folder / "site.toml"
    lower = policy.read_text().replace("max_epsilon = 20.0", "max_epsilon = 7.0")
    policy.write_text(lower.replace("max_epsilon_per_study = 8.0", "max_epsilon_per_study = 7.0"))
    assert site.vault().train(make_request(study, "align")).code is Code.POLICY_REFUSED
    policy.write_text(policy.read_text().replace("= 7.0", "= 9.0"))
    vault = site.vault()
    assert vault.train(make_request(study, "align")).code is Code.OK
    with pytest.raises(BudgetExceeded, match="lifetime epsilon of 9"):
        vault.approve(make_study(name="second"))


def test_who_opted_out_is_not_drawn_and_does_not_count_for_the_declaration(
    make_site: Make, make_study: Make, make_request: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, study = make_site(patients=11), make_study()
    pseudonym = Pseudonyms(bytes(32)).patient(Identity(patient_id="4711", issuer="MERCY"))
    store = RecordStore.open(site.folder)
    store.add_image(RecordRow("own", pseudonym, "", "xray"), np.arange(64 * 64, dtype=np.int16).reshape(64, 64))
    store.close()
    lists: list[list[str]] = []
    real = Trainer._mechanism

    def watched(self: Any, *arguments: Any) -> Any:
        lists.append(arguments[-1])
        return real(self, *arguments)

    monkeypatch.setattr(Trainer, "_mechanism", watched)
    vault = site.vault()
    vault.approve(study)
    assert vault.train(make_request(study, "align")).code is Code.OK
    (site.folder / "opt-out.txt").write_text("4711^^^MERCY\n")
    assert vault.train(make_request(study, "align", round_number=2)).code is Code.OK
    assert pseudonym in lists[0] and pseudonym not in lists[1] and len(lists[1]) == 11
    with pytest.raises(OutsideDeclaration, match="fewer patients than this site declares"):
        vault.approve(make_study(name="second"))  # twelve were declared, eleven take part
    (site.folder / "opt-out.txt").write_bytes(b"\xff\xff")
    assert vault.train(make_request(study, "diffuse")).code is Code.SITE_FAILED  # nobody knows who opted out
