"""The ServerApp that SuperLink starts: its run configuration, and what its import does not bring."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict

from protocol.study import Study
from server.app import run_study
from server.deployed import app
from server.errors import RunConfigInvalid
from simulations.local_grid import LocalGrid


def context_of(**run_config: Any) -> Context:
    return Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config=run_config)


def test_importing_the_server_imports_no_torch() -> None:
    program = "import sys, server.deployed, server.bundle; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_app_runs_the_study_that_its_configuration_names(
    tmp_path: Path, generator_folder: Path, make_study: Callable[..., Study], fake_sites: Any, task_identity: None
) -> None:
    path = tmp_path / "study.toml"
    path.write_text(
        'name = "one"\n[[flows]]\nname = "ct"\n'
        '[[sites]]\nname = "north"\nflows = ["ct"]\ndeclared_patients = 60\n'
        '[[stages]]\nname = "align"\nrounds = 1\n'
    )
    study = Study.read(path).with_generator(digest=make_study().generator_digest)
    grid = LocalGrid(fake_sites(study))
    configuration = {"study": str(path), "generator": str(generator_folder), "out": str(tmp_path / "run")}
    app(grid, context_of(**configuration, **{"join-seconds": 0.0}))
    assert (tmp_path / "run" / "generator" / "groups" / "alignment" / "ct.safetensors").exists()


def test_a_configuration_without_a_study_says_what_to_pass() -> None:
    with pytest.raises(RunConfigInvalid, match="lacks `study`"):
        app(None, context_of())  # type: ignore[arg-type]


def test_the_training_clock_is_split_over_the_rounds(
    tmp_path: Path, generator_folder: Path, make_study: Callable[..., Study], fake_sites: Any, task_identity: None
) -> None:
    study = make_study()
    grid = LocalGrid(fake_sites(study))
    result = run_study(
        grid,
        study,
        generator_folder=generator_folder,
        out=tmp_path / "run",
        training_clock=lambda: grid.site_seconds,
    )
    spent = [record.training_seconds for record in result.records]
    assert all(
        seconds is not None and 0 < seconds < record.seconds
        for seconds, record in zip(spent, result.records, strict=True)
    )
    assert result.training_seconds is not None
    assert sum(seconds or 0.0 for seconds in spent) <= result.training_seconds < result.wall_seconds
