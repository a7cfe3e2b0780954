"""The report of a run: every claim recomputed from the ledgers; whatever does not fit fails and says which."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress
from typer.testing import CliRunner

import fedm2g
from client.site_config import SitePaths
from privacy.accounting import epsilon, plan_study
from privacy.events import LedgerContext, NonPrivate, SampledGaussian, encode_event
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.policy import SitePolicy
from protocol.study import Study
from protocol.version import VERSION
from simulations.audit.claims import SiteClaim, linked_epsilons, recomputed_epsilon
from simulations.audit.empirical import CanaryTerms, audit_empirically
from simulations.audit.report import audit_report
from simulations.audit.run_folder import RunFolder
from simulations.audit.whole import Results, WholeTerms, audit_run, keep
from simulations.errors import InputInvalid
from simulations.scenario import prepare_site
from simulations.study_file import write_study

QUIET = Progress(disable=True)
SITES = ("north", "south")


@dataclass
class FinishedRun:
    """A run whose ledgers are real and whose generator nobody needs."""

    folder: Path
    study: Study
    stated: dict[str, dict[str, Any]]

    def write_summary(self, **changes: Any) -> None:
        values = {"digest": self.study.digest(version=VERSION), "sites": self.stated, "physics": "invented"} | changes
        (self.folder / "summary.json").write_text(json.dumps(values))

    def report(self, *, out: Path | None = None, kinds: tuple[str, ...] = ()) -> dict[str, Any]:
        run = RunFolder.open(self.folder, [])
        return audit_report(run, out or self.folder / "audit", terms=WholeTerms(kinds=kinds), progress=QUIET)


@pytest.fixture
def run(tmp_path: Path, study_file: Path) -> FinishedRun:
    """Two sites, every planned step reserved and committed."""
    text = study_file.read_text()
    north = text[text.index("[[sites]]") : text.index("[[stages]]")]
    study_file.write_text(text.replace(north, north + north.replace('"north"', '"south"')))
    study = Study.read(study_file)
    folder = tmp_path / "run"
    folder.mkdir()
    write_study(folder / "study.toml", study)
    stated = {name: {"epsilon": _spend(study, name, folder / "work" / "sites" / name)} for name in SITES}
    finished = FinishedRun(folder, study, stated)
    finished.write_summary()
    return finished


def _ledger(folder: Path) -> Ledger:
    policy = SitePolicy.read(SitePaths(folder).policy)
    return Ledger(SitePaths(folder).ledger, SiteKeys.open(folder).signing_key, policy)


def _spend(study: Study, name: str, folder: Path) -> float:
    spec = study.site(name)
    prepare_site(study, spec, folder)
    ledger, digest = _ledger(folder), study.digest(version=VERSION)
    delta = study.privacy.delta_fraction / spec.declared_patients
    plan = plan_study(
        study_digest=digest,
        stages={s.name: (s.sampling_probability, s.rounds * s.steps_per_round) for s in study.stages},
        spare=study.privacy.spare_rounds,
        max_epsilon=study.privacy.max_epsilon,
        delta=delta,
    )
    ledger.approve(plan)
    for stage in study.stages:
        event = SampledGaussian(
            sampling_probability=stage.sampling_probability, noise_multiplier=plan.noise_multiplier, steps=stage.rounds
        )
        ledger.commit(ledger.reserve(event, LedgerContext(study_digest=digest, stage=stage.name, round_number=1)))
    return epsilon(ledger.events(digest)[digest], delta=delta)


def test_every_claim_is_recomputed_from_the_ledger_and_agrees(run: FinishedRun) -> None:
    report = run.report()
    assert report["passed"] and not report["failed"] and not report["sites_not_seen"]
    for name in SITES:
        site = report["sites"][name]
        assert site["recomputed"] == pytest.approx(run.stated[name]["epsilon"], abs=1e-3)
        assert site["recomputed"] <= site["by_moments"] and site["recomputed"] <= site["planned"] <= 3.0
        assert site["steps"] == {"align": 2, "diffuse": 4}
    linked = report["one_two_all"]
    assert linked["one"] < linked["two"] == linked["all"] < linked["all_by_addition"]
    assert len(report["not_tested"]) == 5 and report["never_tested"]


def test_a_claim_below_what_the_ledger_holds_fails(run: FinishedRun) -> None:
    run.stated["south"]["epsilon"] -= 0.01
    run.write_summary()
    report = run.report()
    assert not report["passed"] and report["failed"] == ["claim: south"]
    assert "1 proposition does not hold: claim: south" in (run.folder / "audit" / "report.html").read_text()


def test_a_site_that_nobody_showed_and_a_claim_that_nobody_stated_fail(run: FinishedRun) -> None:
    del run.stated["south"]["epsilon"]
    run.write_summary()
    (run.folder / "work" / "sites" / "north").rename(run.folder / "elsewhere")
    report = run.report()
    assert set(report["failed"]) == {"sites", "claim: south"} and report["sites_not_seen"] == ["north"]
    shown = RunFolder.open(run.folder, [run.folder / "elsewhere"])
    assert shown.sites == {"north": run.folder / "elsewhere"}


def test_a_release_without_privacy_in_a_private_site_s_ledger_fails(run: FinishedRun) -> None:
    """The ledger itself would refuse to write it; an auditor must see it however it came there."""
    digest = run.study.digest(version=VERSION)
    body = {"event": encode_event(NonPrivate(steps=1)), "stage": "diffuse", "round_number": 1}
    ledger = run.folder / "work" / "sites" / "north" / "ledger.sqlite"
    with sqlite3.connect(ledger) as connection:
        values = (99, "non-private", digest, json.dumps(body), "p", "d", "s")
        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    report = run.report()
    assert not report["passed"] and {"claim: north", "cap: north"} <= set(report["failed"])
    assert report["sites"]["north"]["recomputed"] is None and report["ceiling"] is None


def test_a_study_that_was_changed_after_the_run_fails(run: FinishedRun) -> None:
    changed = run.study.model_copy(update={"description": "another"})
    write_study(run.folder / "study.toml", changed)
    assert "study" in run.report()["failed"]


def test_an_event_that_the_recomputation_does_not_know_is_refused_and_never_skipped() -> None:
    with pytest.raises(InputInvalid, match="no event of kind"):
        recomputed_epsilon([{"kind": "shuffled-gaussian", "steps": 3}], delta=1e-4)
    known = {"kind": "sampled-gaussian", "sampling_probability": 0.01, "noise_multiplier": 1.0, "steps": 10_000}
    assert recomputed_epsilon([known], delta=1e-5) == pytest.approx(6.1877, abs=2e-3)  # notes/privacy.md 5.1


def test_no_private_site_has_nothing_to_link() -> None:
    claim = SiteClaim("a", False, 50, 1e-3, None, None, (NonPrivate(steps=1),), {}, 0)
    assert linked_epsilons([claim]) is None


class _Page(HTMLParser):
    """What the page loads from elsewhere, and whether its tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href") and not (value or "").startswith("data:"):
                self.outside.append(value or "")
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def page_of() -> Callable[[Path], _Page]:
    def read(path: Path) -> _Page:
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        return page

    return read


def test_the_page_is_whole_stands_alone_and_shows_what_earlier_audits_found(
    run: FinishedRun, study_file: Path, page_of: Callable[[Path], _Page]
) -> None:
    terms = CanaryTerms(canaries=300, patients=1, power_runs=1)
    keep(RunFolder.open(run.folder, []), audit_empirically(study_file, site="north", terms=terms, progress=QUIET))
    report = run.report(out=run.folder / "elsewhere")
    assert len(report["checks"]["empirical"]) == 5 and len(report["not_tested"]) == 4
    assert report["record"]["sanity results"]["audit lower bound"].endswith("on its own canary study")
    page = page_of(run.folder / "elsewhere" / "report.html")
    assert not page.outside and not page.open
    text = (run.folder / "elsewhere" / "report.html").read_text(encoding="utf-8")
    assert text.count('src="data:image/png') == 2 and "What was not tested" in text and "one-run bound" in text
    assert not re.search(r"None|nan|Undefined", re.sub(r'src="data:[^"]*"', "", text).replace("None:", ""))
    assert json.loads((run.folder / "elsewhere" / "report.json").read_text()) == json.loads(json.dumps(report))


def test_every_field_of_the_record_is_filled_or_says_why_not(run: FinishedRun) -> None:
    record = run.report()["record"]
    assert set(record) == {
        "unit",
        "sampling",
        "mechanism",
        "accounting",
        "other releases",
        "code",
        "sanity results",
    }
    assert all(value.strip() for fields in record.values() for value in fields.values())
    assert record["sampling"]["patients drawn per step"].startswith("sealed")
    assert run.study.digest(version=VERSION) == record["code"]["study digest"]


def test_what_cannot_be_tested_is_named_with_the_reason(run: FinishedRun) -> None:
    run.write_summary(physics=None)  # real patients: no phantoms may stand in for them
    opened = RunFolder.open(run.folder, [])
    claims: list[SiteClaim] = []
    terms = WholeTerms(kinds=("updates", "release", "twin", "empirical"))
    results = audit_run(opened, claims, terms=terms, progress=QUIET)
    assert isinstance(results, Results) and not results.found
    assert "no noise to audit" in results.not_tested["empirical"] and "--nonmembers" in results.not_tested["release"]


def test_the_command_fails_with_five_where_a_claim_does_and_with_zero_where_all_hold(run: FinishedRun) -> None:
    words = ["audit", "report", str(run.folder), "--only", "none"]
    held = CliRunner().invoke(fedm2g.app, words)
    assert held.exit_code == 0 and "holds   claim: north" in held.output
    run.stated["north"]["epsilon"] = 0.5
    run.write_summary()
    failed = CliRunner().invoke(fedm2g.app, [*words, "--json"])
    assert failed.exit_code == 5
    assert CliRunner().invoke(fedm2g.app, ["audit", "report", str(run.folder), "--only", "magic"]).exit_code == 2


def test_a_folder_that_is_no_run_is_one_sentence(tmp_path: Path, run: FinishedRun) -> None:
    (run.folder / "summary.json").unlink()
    with pytest.raises(InputInvalid, match="no finished run"):
        RunFolder.open(run.folder, [])
    run.write_summary()
    with pytest.raises(InputInvalid, match="not a site's folder"):
        RunFolder.open(run.folder, [tmp_path])
