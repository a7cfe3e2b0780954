"""Who opted out is not drawn from the next step on, and neither they nor the forgotten come back with an ingest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from client.commands import app
from client.records.ingest import ingest
from client.records.store import RecordStore
from client.rights.forgetting import forget
from client.rights.naming import ListUnreadable, lines_of, names_in, names_of
from client.rights.opt_out import OptOuts, honouring
from client.site_config import SitePaths
from privacy.deidentify import Identity, Pseudonyms
from privacy.engines import ExecutionSettings, Term, patient_gradients
from privacy.keys import SiteKeys
from privacy.non_private import NonPrivateConfig, NonPrivateMechanism
from privacy.patient_stream import SeededPatientStream

PSEUDONYMS = Pseudonyms(b"k" * 32)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    assert run("init", "--name", "mercy", "--dir", tmp_path / "site").exit_code == 0
    return tmp_path / "site"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from simulations.phantoms.export import export_hospital

    out = tmp_path_factory.mktemp("hospital") / "export"
    export_hospital(out, patients=5, seed=5, population="hospital-xray", size=32)
    return out


def patients_of(hospital: Path) -> list[str]:
    return sorted(path.name for path in hospital.iterdir() if path.name.startswith("PH"))


def in_store(site: Path) -> int:
    store = RecordStore.open(site)
    try:
        return len(store.patients())
    finally:
        store.close()


# --- naming ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "identity", "meant"),
    [
        ("4711", Identity(patient_id="4711"), True),
        ("4711", Identity(patient_id=" 4711 ", issuer="MERCY"), True),  # under every issuer
        ("4711^^^MERCY", Identity(patient_id="4711", issuer="MERCY"), True),
        ("4711^^^MERCY", Identity(patient_id="4711", issuer="OTHER"), False),
        ("4711^^^MERCY", Identity(patient_id="4711"), False),
        ("4711", Identity(patient_id="4712"), False),
        (PSEUDONYMS.patient(Identity(patient_id="9", issuer="X")), Identity(patient_id="9", issuer="X"), True),
        ("", Identity(patient_id="1"), False),
    ],
)
def test_a_line_means_a_patient_by_id_by_issuer_or_by_pseudonym(line: str, identity: Identity, meant: bool) -> None:
    assert bool(names_in(line, PSEUDONYMS) & names_of(identity, PSEUDONYMS)) is meant


def test_what_is_kept_of_a_line_names_nobody_without_the_key() -> None:
    kept = names_in("4711", PSEUDONYMS)
    assert not any("4711" in name for name in kept)
    assert not kept & names_in("4711", Pseudonyms(b"j" * 32))


def test_comments_empty_lines_and_repetitions_are_no_patients(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# who left\n\n 12 \n12\n13^^^A\n")
    assert lines_of(tmp_path / "list") == ["12", "13^^^A"]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_a_list_that_cannot_be_read_stops_everything_and_quotes_nothing(tmp_path: Path, content: bytes | None) -> None:
    paths = SitePaths(tmp_path)
    if content is None:
        paths.opt_out.mkdir()
    else:
        paths.opt_out.write_bytes(content)
    out = OptOuts(paths, PSEUDONYMS)
    for refused in (out.now, lambda: out.participating(["a"])):
        with pytest.raises(ListUnreadable, match="opt-out.txt cannot be read"):
            refused()


# --- the list --------------------------------------------------------------------------------------------------------


def test_a_line_that_is_added_holds_at_once_and_one_taken_out_no_more(tmp_path: Path) -> None:
    paths = SitePaths(tmp_path)
    out = OptOuts(paths, PSEUDONYMS)
    here = [PSEUDONYMS.patient(Identity(patient_id=str(number))) for number in range(4)]
    assert out.participating(here) == here
    paths.opt_out.write_text("1\n")
    assert out.participating(here) == [here[0], here[2], here[3]]
    paths.forgotten.write_text(f"{here[3]}\n")
    assert out.participating(here) == [here[0], here[2]]
    paths.opt_out.write_text("2\n")  # as long as before
    os.utime(paths.opt_out, ns=(1, 1))
    assert out.participating(here) == here[:2]
    paths.opt_out.unlink()
    assert out.participating(here) == here[:3]
    assert repr(out) == "OptOuts(hidden)"


class OneEach:
    """Every patient's gradient with respect to `w` is one."""

    def touched(self, kind: str) -> list[str]:
        return ["w"]

    def draw(self, pseudonym: str, *, generator: Any) -> list[Term]:
        return [Term("one", {"g": torch.ones(1)})]

    def loss(self, kind: str, parameters: Any, tensors: Any) -> Any:
        return (parameters["w"] * tensors["g"]).sum()

    def batch_losses(self, kind: str, parameters: Any, tensors: Any) -> Any:
        return (parameters["w"].expand(len(tensors["g"]), -1) * tensors["g"]).sum(1)


@pytest.mark.parametrize("engine", ["loop", "vmap", "batch"])
def test_within_a_running_round_the_next_step_leaves_a_patient_out(tmp_path: Path, engine: Any) -> None:
    """Whoever opts out between two steps contributes nothing to the second: as if not drawn."""
    from privacy.events import LedgerContext

    class Account:
        policy = type("Policy", (), {"allow_non_private": True})

        def record_non_private(self, steps: int, context: Any) -> None:
            pass

    paths, place = SitePaths(tmp_path), {"study_digest": "5" * 64, "stage": "align", "round_number": 1}
    out = OptOuts(paths, PSEUDONYMS)
    here = [PSEUDONYMS.patient(Identity(patient_id=str(number))) for number in range(4)]
    mechanism = NonPrivateMechanism(
        NonPrivateConfig.from_declared(sampling_probability=1.0, declared_patients=4, steps=3),
        ExecutionSettings(chunk_size=2, engine=engine),
        ledger=Account(),  # type: ignore[arg-type]
        patients=here,
        patient_stream=SeededPatientStream(1, **place),  # type: ignore[arg-type]
        context=LedgerContext(**place),  # type: ignore[arg-type]
        seed=1,
    )
    loss, sums = honouring(OneEach(), out), []
    with mechanism.open(3):
        for line in ("", "2", "0\n1\n2\n3"):
            paths.opt_out.write_text(line)
            sums.append(float(mechanism.step({"w": torch.zeros(1)}, loss).values["w"]) * 4)
    assert sums == [4.0, 3.0, 0.0]


def test_a_patient_who_contributes_nothing_has_a_gradient_of_zero() -> None:
    settings = ExecutionSettings(chunk_size=4, engine="loop")
    for terms, norms in (([[], [Term("one", {"g": torch.ones(1)})]], [0.0, 1.0]), ([[]], [0.0])):
        gradients = patient_gradients(OneEach(), {"w": torch.zeros(1)}, terms, settings)
        assert gradients.squared_norms().tolist() == norms


# --- ingest and forgetting -------------------------------------------------------------------------------------------


def test_an_ingest_takes_nobody_who_opted_out_and_says_only_how_many_files(site: Path, hospital: Path) -> None:
    first, second, *_ = patients_of(hospital)
    with (site / "opt-out.txt").open("a") as listed:
        listed.write(f"{first}\n")
    report = ingest(site, hospital, image_size=32)
    assert in_store(site) == 4 and report.reasons == {"patient-opted-out": 1}
    (site / "opt-out.txt").write_text(f"{first}\n{second}\n")  # later, and already in the store
    assert ingest(site, hospital, image_size=32).records == 0
    shown = run("opt-outs", "--dir", site)
    assert json.loads(run("opt-outs", "--dir", site, "--json").stdout) == {"lines": 2, "in_the_store": 1}
    assert "1 lines fit nobody" in shown.output and first not in shown.output
    (site / "opt-out.txt").write_text("")
    assert ingest(site, hospital, image_size=32).records == 2 and in_store(site) == 5  # their choice, their way back


def test_the_forgotten_do_not_come_back_by_a_second_ingest(site: Path, hospital: Path) -> None:
    assert ingest(site, hospital, image_size=32).records == 10
    gone, also, *_ = patients_of(hospital)
    done = forget(site, [gone, "nobody"])
    assert (done.forgotten, done.records, done.unknown) == (1, 2, 1)
    pseudonym = Pseudonyms(SiteKeys.open(site).pseudonym_key).patient(Identity(patient_id=also))
    assert forget(site, [pseudonym]).forgotten == 1
    again = ingest(site, hospital, image_size=32)
    assert again.records == 0 and again.reasons == {"patient-opted-out": 2} and in_store(site) == 3
    kept = (site / "forgotten.txt").read_text()
    assert (site / "forgotten.txt").stat().st_mode & 0o777 == 0o600
    assert not any(name in kept for name in (gone, also, "nobody"))
    assert forget(site, [gone]).unknown == 1 and (site / "forgotten.txt").read_text() == kept


def test_a_death_while_forgetting_leaves_nobody_who_could_be_drawn(
    site: Path, hospital: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(site, hospital, image_size=32)
    gone = patients_of(hospital)[0]

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(RecordStore, "forget", killed)
        forget(site, [gone])
    pseudonyms = Pseudonyms(SiteKeys.open(site).pseudonym_key)
    out = OptOuts(SitePaths(site), pseudonyms)
    assert in_store(site) == 5
    assert out.participating([pseudonyms.patient(Identity(patient_id=gone))]) == []
    assert forget(site, [gone]).records == 2


def test_forgetting_by_issuer_means_that_issuers_patient_alone(site: Path, hospital: Path) -> None:
    ingest(site, hospital, image_size=32)
    gone = patients_of(hospital)[0]
    assert json.loads(run("forget", gone, "--issuer", "ELSEWHERE", "--dir", site, "--json").stdout)["unknown"] == 1
    assert ingest(site, hospital, image_size=32).reasons == {}
    assert json.loads(run("forget", gone, "--dir", site, "--json").stdout)["forgotten"] == 1
