"""`fedm2g site`: what each command writes and prints, and one sentence for every mistake."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.commands import app
from client.errors import ClientError
from privacy.events import LedgerContext, SampledGaussian, StagePlan, StudyPlan
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.policy import SitePolicy


def _run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def _sentence(result: Result) -> str:
    """The one sentence of a command that failed as `fedm2g` reports it."""
    assert isinstance(result.exception, ClientError), result.output
    sentence = str(result.exception)
    assert sentence.endswith(".") and "\n" not in sentence
    return sentence


@pytest.fixture
def site(tmp_path: Path) -> Path:
    assert _run("init", "--name", "mercy", "--dir", tmp_path / "site").exit_code == 0
    return tmp_path / "site"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from simulations.phantoms.export import export_hospital

    out = tmp_path_factory.mktemp("hospital") / "export"
    export_hospital(out, patients=6, seed=5, population="hospital-xray", size=32)
    return out


def _ingest(site: Path, source: Path, *words: object) -> Result:
    return _run("ingest", "--dir", site, "--source", source, "--image-size", 32, "--workers", 1, *words)


def test_init_writes_a_commented_policy_that_says_what_was_asked(tmp_path: Path) -> None:
    words = ["--declared-patients", 160, "--max-patients", 400, "--flows", "xray, text", "--max-epsilon", 4,
             "--allow-non-private", "--patient-ids", "pseudo", "--minimum-patients", 20]  # fmt: skip
    assert _run("init", "--name", "north-1", "--dir", tmp_path, *words).exit_code == 0
    policy = SitePolicy.read(tmp_path / "site.toml")
    assert policy == SitePolicy(
        name="north-1", declared_patients=160, max_patients=400, declared_flows=("xray", "text"), max_epsilon=4.0,
        max_epsilon_per_study=4.0, max_delta=1e-3, allowed_stages=("align", "diffuse", "guide"), minimum_patients=20,
        allow_non_private=True, patient_ids="pseudo",
    )  # fmt: skip
    lines = [line for line in (tmp_path / "site.toml").read_text().splitlines() if "=" in line.split("#")[0]]
    assert len(lines) == len(SitePolicy.model_fields) and all("  # " in line for line in lines)


def test_init_makes_keys_that_only_their_owner_reads(site: Path) -> None:
    assert SiteKeys.open(site).pseudonym_key
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (site / "keys").iterdir())
    assert stat.S_IMODE((site / "keys").stat().st_mode) == 0o700


def test_init_never_overwrites_a_site(site: Path) -> None:
    before = (site / "site.toml").read_bytes(), SiteKeys.open(site).pseudonym_key
    assert "exists already" in _sentence(_run("init", "--name", "other", "--dir", site))
    assert before == ((site / "site.toml").read_bytes(), SiteKeys.open(site).pseudonym_key)


@pytest.mark.parametrize(
    "words",
    [
        ["--name", "Bad Name"],
        ["--name", "a", "--declared-patients", 100, "--max-patients", 50],
        ["--name", "a", "--flows", ","],
        ["--name", "a", "--max-epsilon", 1, "--max-epsilon-per-study", 2],
        ["--name", "a", "--max-delta", 2],
    ],
)
def test_init_refuses_a_policy_that_contradicts_itself_and_leaves_nothing(tmp_path: Path, words: list[object]) -> None:
    assert "In the site's policy" in _sentence(_run("init", *words, "--dir", tmp_path / "s"))
    assert not (tmp_path / "s").exists()


def test_init_says_so_where_the_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "another --dir" in _sentence(_run("init", "--name", "a", "--dir", tmp_path / "file"))
    assert "--dir" in _sentence(_run("init", "--name", "a", "--dir", tmp_path / "file" / "below"))


@pytest.mark.parametrize("words", [["status"], ["ingest", "--source", "."], ["forget", "1"]])
def test_a_folder_that_is_no_site_is_named_with_what_to_do(tmp_path: Path, words: list[str]) -> None:
    assert "run `fedm2g site init` first" in _sentence(_run(*words, "--dir", tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_ingest_prints_exactly_four_figures_for_machines(site: Path, hospital: Path) -> None:
    (site / "odd").mkdir()
    (hospital / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM nothing")
    result = _ingest(site, hospital, "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert list(figures) == ["ingested", "quarantined", "records", "reasons"]
    assert figures["ingested"] == 6 and figures["records"] == 12 and figures["quarantined"] == 1
    assert sum(figures["reasons"].values()) == 1
    assert json.loads(_ingest(site, hospital, "--json").stdout)["records"] == 0


def test_no_planted_identifier_is_printed_or_stored_in_clear(site: Path, hospital: Path) -> None:
    shown = _ingest(site, hospital).output + _run("status", "--dir", site).output
    planted = (hospital / "identifiers.txt").read_text().split("\n")
    stored = b"".join(path.read_bytes() for path in site.rglob("*") if path.is_file())
    for word in filter(lambda word: len(word) > 3, planted):
        assert word not in shown and word.encode() not in stored


@pytest.mark.parametrize("missing", [True, False])
def test_a_source_that_cannot_be_used_is_one_sentence(site: Path, tmp_path: Path, missing: bool) -> None:
    source = tmp_path / "absent"
    if not missing:
        source.mkdir()
        (source / "index.csv").write_text("a,b\n1,2\n")
    assert _sentence(_ingest(site, source))


def test_status_says_in_words_and_in_figures_what_lies_here(site: Path, hospital: Path) -> None:
    _ingest(site, hospital)
    words = _run("status", "--dir", site).output
    for said in ("Site mercy", "declares 50 patients", "xray", "Privacy spent", "epsilon 0 of 16"):
        assert said in words
    figures = json.loads(_run("status", "--dir", site, "--json").stdout)
    assert figures["patients"] == 6 and figures["records"] == {"text": 6, "xray": 6}
    assert figures["policy"]["declared_patients"] == 50
    assert figures["lifetime"] == {"epsilon_spent": 0.0, "max_epsilon": 16.0, "delta": 1e-3, "non_private": False}


def test_status_creates_nothing(site: Path) -> None:
    before = sorted(site.rglob("*"))
    assert "No records yet" in _run("status", "--dir", site).output
    assert sorted(site.rglob("*")) == before


def _spend(site: Path) -> StudyPlan:
    from privacy.accounting import PLAN_GRID, epsilon

    event = SampledGaussian(sampling_probability=0.2, noise_multiplier=2.0, steps=10)
    plan = StudyPlan(
        study_digest="ab" * 32, noise_multiplier=2.0, delta=1e-3, epsilon=epsilon([event], delta=1e-3, grid=PLAN_GRID),
        stages=(StagePlan(stage="align", sampling_probability=0.2, steps=10),),
    )  # fmt: skip
    ledger = Ledger(site / "ledger.sqlite", SiteKeys.open(site).signing_key, SitePolicy.read(site / "site.toml"))
    ledger.approve(plan)
    context = LedgerContext(study_digest=plan.study_digest, stage="align", round_number=1)
    ledger.reserve(SampledGaussian(sampling_probability=0.2, noise_multiplier=2.0, steps=4), context)
    return plan


def test_status_shows_what_the_ledger_says_was_spent(site: Path) -> None:
    plan = _spend(site)
    figures = json.loads(_run("status", "--dir", site, "--json").stdout)
    (study,) = figures["studies"]
    assert study["digest"] == plan.study_digest and study["max_epsilon"] == pytest.approx(plan.epsilon)
    assert 0 < study["epsilon_spent"] < plan.epsilon
    assert figures["lifetime"]["epsilon_spent"] == pytest.approx(study["epsilon_spent"])
    assert f"study {plan.study_digest[:12]}: epsilon" in _run("status", "--dir", site).output


def test_forget_erases_a_patient_by_the_hospitals_own_id(site: Path, hospital: Path, tmp_path: Path) -> None:
    _ingest(site, hospital)
    first, second, third = sorted(path.name for path in hospital.iterdir() if path.name.startswith("PH"))[:3]
    features = site / "state" / "features"
    features.mkdir(parents=True)
    assert json.loads(_run("forget", first, "--dir", site, "--json").stdout) == {
        "forgotten": 1, "records": 2, "unknown": 0}  # fmt: skip
    assert not features.exists()
    (tmp_path / "list.txt").write_text(f"{second}\n\n{third}\nnobody\n{second}\n")
    shown = _run("forget", "--list", tmp_path / "list.txt", "--dir", site).output
    assert "4 records of 2 patients erased; 1 of those named" in shown
    assert not any(name in shown for name in (first, second, third))
    assert json.loads(_run("status", "--dir", site, "--json").stdout)["patients"] == 3


def test_forget_wants_one_patient_or_one_list(site: Path, tmp_path: Path) -> None:
    assert _run("forget", "--dir", site).exit_code == 2
    assert _run("forget", "1", "--list", tmp_path / "l", "--dir", site).exit_code == 2
    assert "cannot be read" in _sentence(_run("forget", "--list", tmp_path / "l", "--dir", site))


def test_the_commands_load_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys, client.commands; "
        "print([name for name in ('torch', 'numpy', 'pydicom', 'pydantic', 'rich.progress') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
