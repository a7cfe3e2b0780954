"""The twin differs from its study in what makes it learn by heart and nothing else; trained, every attack finds it."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.progress import Progress

from protocol.study import Study
from simulations.audit.twin import audit_twin
from simulations.audit.twin_study import TwinTerms, twin_study
from simulations.errors import InputInvalid


def test_twin_and_sibling_differ_in_privacy_alone(study_file: Path) -> None:
    study = Study.read(study_file)
    twin, sibling = (twin_study(study, TwinTerms(), private=private) for private in (False, True))
    assert not twin.privacy.enabled and not twin.sites[0].private and sibling.privacy.enabled
    assert twin.stages == sibling.stages and twin.training == sibling.training and twin.optimizer == sibling.optimizer
    assert twin.sites[0].population == sibling.sites[0].population == study.sites[0].population
    assert twin.sites[0].flows == ("xray",) and twin.training.diffusion_subset == "all"
    assert sibling.privacy.max_epsilon == study.privacy.max_epsilon
    assert twin.stages[0].clipping_norm == study.stage("diffuse").clipping_norm


def test_a_flow_that_nobody_has_is_refused(study_file: Path) -> None:
    with pytest.raises(InputInvalid, match="image flow"):
        twin_study(Study.read(study_file), TwinTerms(flow="text"), private=False)


@pytest.mark.twin
def test_planted_overtraining_is_found_by_every_attack(study_file: Path, small_generator: Path) -> None:
    """About five minutes of two cores: the shipped generator, overtrained by the study's own machinery."""
    study_file.write_text(study_file.read_text().replace(str(small_generator), "shipped"))
    found = audit_twin(study_file, terms=TwinTerms(), sibling=False, progress=Progress(disable=True))
    assert found["passed"], [check for check in found["checks"] if not check["passed"]]
    assert not found["twin"]["passed"]
