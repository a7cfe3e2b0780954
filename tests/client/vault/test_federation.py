"""A whole study in one process: real records, mechanism, ledger, relay, wire and server; three stages, two sites."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from client.relay import make_client_app
from client.vault.vault import Vault
from protocol.study import Study
from server.app import StudyResult, run_study
from server.errors import QuorumMissed
from simulations.local_grid import LocalGrid

TRAINED = {
    "alignment/xray",
    "alignment/ct",
    "diffusion/xray",
    "diffusion/ct",
    "diffusion/text",
    "cross_guidance/xray",
    "cross_guidance/ct",
    "cross_guidance/text",
}


@pytest.fixture
def federation(
    make_site: Callable[..., Any], generator_folder: Path, task_identity: None
) -> Callable[..., tuple[StudyResult, dict[str, Vault]]]:
    """Approve the study at both sites and run it on the local grid."""

    def run(study: Study, out: Path, *, stop_after: int | None = None, **policy: Any) -> Any:
        declared = {"north": ("xray", "text"), "south": ("xray", "ct")}
        vaults = {name: make_site(name, declared_flows=flows, **policy).vault() for name, flows in declared.items()}
        for vault in vaults.values():
            vault.approve(study)
        return go_on(study, out, vaults, stop_after=stop_after), vaults

    def go_on(study: Study, out: Path, vaults: dict[str, Vault], *, resume: bool = False, **options: Any) -> Any:
        apps = {name: make_client_app(partial(_always, vault)) for name, vault in vaults.items()}
        return run_study(LocalGrid(apps), study, generator_folder=generator_folder, out=out, resume=resume, **options)

    run.go_on = go_on  # type: ignore[attr-defined]
    return run


def _always(vault: Vault, _: Any) -> Vault:
    return vault


def weights(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    files = {path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.safetensors")}
    return {name: load_file(path) for name, path in files.items() if not name.startswith("groups_ema")}


def differs(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    assert set(one) == set(other)
    return any(not np.array_equal(array.astype(np.float32), other[name]) for name, array in one.items())


def test_a_private_study_completes_and_changes_only_the_trained_groups(
    federation: Any, make_study: Callable[..., Study], generator_folder: Path, tmp_path: Path
) -> None:
    result, vaults = federation(make_study(), tmp_path / "out")
    assert result.completed and result.generator is not None
    assert len(result.records) == 6 and all(record.accepted == ["north", "south"] for record in result.records)
    before, after = weights(generator_folder), weights(result.generator)
    changed = {name.removeprefix("groups/") for name in before if differs(before[name], after[name])}
    assert changed == TRAINED
    for name, vault in vaults.items():
        assert vault.status().studies[result.study_digest].rounds_finished == {"align": 2, "diffuse": 2, "guide": 2}
        events = vault._ledger.events()[result.study_digest]
        assert sum(event.steps for event in events) == 6
        spent = vault.status().studies[result.study_digest].epsilon_spent
        assert spent == pytest.approx(result.sites[name].epsilon, rel=1e-3) and spent < 8.0
        assert not (tmp_path / f"site-{name}" / "incidents.log").exists()
        assert result.sites[name].bytes_up > 0 and vault.training_seconds > 0.0
        vault._ledger.verify()


def test_a_round_that_one_site_cannot_finish_is_attributed_to_it_and_the_study_goes_on(
    federation: Any, make_study: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Vault._train

    def fails_at_south(self: Vault, request: Any) -> Any:
        if self.policy.name == "south" and request.stage == "diffuse":
            raise RuntimeError("disk of Erika Mustermann is full")
        return real(self, request)

    monkeypatch.setattr(Vault, "_train", fails_at_south)
    result, _ = federation(make_study(), tmp_path / "out")
    assert result.completed
    diffuse = [record for record in result.records if record.stage == "diffuse"]
    assert [record.sites["south"].status for record in diffuse] == ["site-failed", "site-failed"]
    assert all(record.sites["south"].incident for record in diffuse)
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"Mustermann" not in written
    assert b"Mustermann" in (tmp_path / "site-south" / "incidents.log").read_bytes()


def test_without_privacy_a_stopped_and_resumed_study_equals_the_uninterrupted_one(
    federation: Any, make_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = make_study(privacy={"enabled": False}, stages=[{"name": name, "rounds": 2} for name in ("align", "guide")])
    whole, _ = federation(study, tmp_path / "whole", allow_non_private=True)
    for name in ("north", "south"):
        (tmp_path / f"site-{name}").rename(tmp_path / f"first-{name}")
    stopped, vaults = federation(study, tmp_path / "parts", stop_after=3, allow_non_private=True)
    assert not stopped.completed
    resumed = federation.go_on(study, tmp_path / "parts", vaults, resume=True)
    one, other = weights(whole.generator), weights(resumed.generator)
    assert not any(differs(one[name], other[name]) for name in one)


def test_a_study_that_no_site_approved_does_not_start(
    make_site: Callable[..., Any],
    make_study: Callable[..., Study],
    generator_folder: Path,
    tmp_path: Path,
    task_identity: None,
) -> None:
    vault = make_site().vault()
    with pytest.raises(Exception, match="has not approved this study") as refused:
        run_study(
            LocalGrid({"north": make_client_app(lambda _: vault)}),
            make_study(),
            generator_folder=generator_folder,
            out=tmp_path / "out",
        )
    assert not isinstance(refused.value, QuorumMissed)
    assert [entry.kind for entry in vault._ledger.entries()] == ["opened"]
