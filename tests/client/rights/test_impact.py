"""The impact record is filled in from study, policy and ledger, and holds nothing that is about a patient."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.commands import app
from client.records.store import RecordRow, RecordStore
from client.site_config import SitePaths
from client.vault.approval import Approvals
from client.vault.errors import ClientError
from privacy.deidentify import Identity, Pseudonyms
from privacy.events import LedgerContext
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.policy import SitePolicy
from protocol.errors import StudyInvalid
from protocol.study import Study
from protocol.version import VERSION

SECTIONS = (
    "1. The processing and its purpose", "2. Who takes part", "3. Whose data, and which", "4. What leaves the hospital",
    "5. The promise, in numbers and in words", "6. Necessity, and what limits it", "7. Retention",
    "8. Rights of patients", "9. Risks that remain", "10. What was not assessed here", "11. Where this comes from",
)  # fmt: skip
PLANTED = ("77345123", "Doe^Jane", "ACC-99871")
PATIENTS, IMAGES = 73, 151
"""True counts, unlike any number that is declared or proposed."""
STUDY: dict[str, Any] = {
    "name": "lungs",
    "description": "Chest radiographs of three hospitals.",
    "coordinator": "university",
    "sites": [
        {"name": "mercy", "flows": ["xray", "text"], "declared_patients": 60},
        {"name": "grace", "flows": ["xray"], "declared_patients": 200},
    ],
    "stages": [{"name": "align", "rounds": 8, "sampling_probability": 0.2}],
    "privacy": {"max_epsilon": 2.5, "delta_fraction": 0.03},
    "federation": {"release_grid_seconds": 30.0},
    "generator_digest": "ab" * 32,
}


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with records, opt-outs and forgotten patients, whose true numbers must not come out."""
    folder = tmp_path / "site"
    words = ["--declared-patients", 60, "--max-patients", 400, "--flows", "xray,text", "--max-epsilon", 12]
    assert run("init", "--name", "mercy", "--dir", folder, *words).exit_code == 0
    pseudonyms = Pseudonyms(SiteKeys.open(folder).pseudonym_key)
    store = RecordStore.create(folder, image_size=8)
    rows = []
    for number in range(IMAGES):
        pseudonym = pseudonyms.patient(Identity(patient_id=f"{PLANTED[0]}{number % PATIENTS}"))
        rows.append((RecordRow(f"{number}", pseudonym, "", "xray"), np.full((8, 8), number, np.int16)))
    store.add_many(images=rows)
    store.close()
    with (folder / "opt-out.txt").open("a") as listed:
        listed.write("\n".join([*(f"{PLANTED[0]}{number}" for number in range(3)), *PLANTED[1:]]))
    return folder


def opened(folder: Path) -> Ledger:
    policy = SitePolicy.read(folder / "site.toml")
    return Ledger(folder / "ledger.sqlite", SiteKeys.open(folder).signing_key, policy)


def approved(folder: Path, **changes: Any) -> Study:
    """The study, approved as the vault does, with two of its rounds reserved."""
    study, ledger = Study.from_dict(STUDY | changes), opened(folder)
    paths = SitePaths(folder).prepare()
    approvals = Approvals(paths.state, policy=ledger.policy, ledger=ledger, keys=SiteKeys.open(folder))
    approval = approvals.approve(study, generator_digest=study.generator_digest, patients=PATIENTS, deployment=True)
    for number in (1, 2):
        context = LedgerContext(study_digest=approval.digest, stage="align", round_number=number)
        if approval.plan is None:
            ledger.record_non_private(1, context)
        else:
            ledger.reserve(approval.plan.stage_event("align").one_step(), context)
    return study


def test_every_section_is_there_and_filled_in(site: Path) -> None:
    study = approved(site)
    text = run("dpia", "--dir", site).output
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == list(SECTIONS)
    ledger = opened(site)
    plan = ledger.plan(study.digest(version=VERSION))
    assert plan is not None
    spent = ledger.epsilon_spent(delta=plan.delta, study_digest=plan.study_digest)
    assert f"| lungs | {plan.epsilon:.3g} | {plan.delta:.2g} | {spent:.3g} |" in text
    for said in (
        "Chest radiographs of three hospitals.", "approved here", "Other sites of these studies: grace", "university",
        "radiographs, text of radiology reports", "declares 60 patients", "leave on multiples of 30 s",
        "add or remove one", "at most 13 times as likely", "finds at most 13 % of those who were",
        "What a trained model cannot forget", f"head {ledger.head()}", "at most 12 |",
    ):  # fmt: skip
        assert said in text, said
    assert "None" not in text and "{{" not in text and "NOT PRIVATE" not in text


def test_no_true_count_and_no_identifier_stands_in_it(site: Path) -> None:
    approved(site)
    text = run("dpia", "--dir", site).output
    numbers = set(re.findall(r"(?<![\w.:])\d+(?![\w.:])", text))
    assert not numbers & {str(PATIENTS), str(IMAGES), "70", "3"} - set("3")  # 70 take part, 3 opted out
    assert not any(word in text for word in PLANTED)
    pseudonyms = Pseudonyms(SiteKeys.open(site).pseudonym_key)
    assert pseudonyms.patient(Identity(patient_id=f"{PLANTED[0]}1")) not in text


def test_the_record_does_not_depend_on_who_is_in_the_store(site: Path) -> None:
    approved(site)
    before = run("dpia", "--dir", site).output
    with (site / "opt-out.txt").open("a") as listed:
        listed.write(f"\n{PLANTED[0]}9\n")
    store = RecordStore.open(site)
    store.forget(store.patients()[:20])
    store.close()
    assert run("dpia", "--dir", site).output == before


def test_a_study_that_is_not_approved_is_weighed_and_named_so(site: Path, tmp_path: Path) -> None:
    import tomli_w

    path = tmp_path / "study.toml"
    path.write_text(tomli_w.dumps(STUDY | {"privacy": {"max_epsilon": 9.0, "delta_fraction": 0.03}}))
    before = sorted(site.rglob("*"))
    text = run("dpia", path, "--dir", site).output
    assert "not approved here yet" in text and "allows 8 a study" in text
    assert "Ledger not begun: nothing was spent" in text
    assert "excludes little" in text  # an epsilon of 9 is told as what it is
    assert sorted(site.rglob("*")) == before
    path.write_text(tomli_w.dumps(STUDY | {"sites": STUDY["sites"][1:]}))
    assert isinstance(run("dpia", path, "--dir", site).exception, StudyInvalid)


def test_training_without_protection_is_said_in_every_place(site: Path) -> None:
    policy = (site / "site.toml").read_text().replace("allow_non_private = false", "allow_non_private = true")
    (site / "site.toml").write_text(policy)
    approved(site, privacy={"enabled": False})
    text = run("dpia", "--dir", site).output
    for said in ("**NOT PRIVATE**", "**without bound**", "**allowed**", "nothing bounds what those reveal"):
        assert said in text
    assert "and never without it" not in text


def test_a_site_without_studies_and_one_without_a_policy(site: Path, tmp_path: Path) -> None:
    assert "No study is approved here." in run("dpia", "--dir", site).output
    assert isinstance(run("dpia", "--dir", tmp_path / "none").exception, ClientError)
