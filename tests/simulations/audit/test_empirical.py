"""The canary study of a real study's terms: declared, charged, sealed; faults planted in the mechanism are caught."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.progress import Progress

from privacy.noise import NoiseStream
from protocol.study import Study
from simulations.audit.empirical import CanaryTerms, as_canary_study, audit_empirically
from simulations.errors import InputInvalid

TERMS = CanaryTerms(canaries=600, patients=3, power_runs=2)


class Halved(NoiseStream):
    """The planted fault: half the noise that is charged."""

    def gaussian(self, shape: Any, dtype: Any = np.float32) -> np.ndarray:
        return super().gaussian(shape, dtype) * dtype(0.5)


def audited(study: Path, terms: CanaryTerms = TERMS, site: str | None = None) -> dict[str, Any]:
    return audit_empirically(study, site=site, terms=terms, progress=Progress(disable=True))


def test_the_canary_study_is_a_study_of_its_own_with_everybody_declared_and_every_step_charged(
    study_file: Path,
) -> None:
    found = audited(study_file)
    assert found["passed"], [check for check in found["checks"] if not check["passed"]]
    assert found["declared_patients"] == 603 and found["delta"] == pytest.approx(0.1 / 603)
    assert found["steps"] == 6 and found["study"] == "small-canaries"
    assert 0.0 <= found["lower_bound"] <= found["claimed_epsilon"] <= found["planned_epsilon"] <= 3.0
    assert len(found["coins_digest"]) == 64
    assert {check["name"] for check in found["checks"]} == {
        "one-run bound",
        "noise",
        "contribution",
        "two runs",
        "two steps",
    }


def test_planted_half_the_noise_fails_the_audit_of_the_study(study_file: Path) -> None:
    found = audited(study_file, CanaryTerms(canaries=600, patients=1, power_runs=1, stream_type=Halved))
    assert not found["passed"]
    assert "noise" in {check["name"] for check in found["checks"] if not check["passed"]}


def test_the_canary_study_keeps_every_term_but_who_takes_part(study_file: Path) -> None:
    study = Study.read(study_file)
    canaries, spec = as_canary_study(study, study.sites[0], TERMS)
    assert canaries.stages == study.stages and canaries.privacy == study.privacy
    assert canaries.sites == (spec,) and canaries.digest(version="1") != study.digest(version="1")


def test_a_study_without_privacy_has_no_claim_to_audit(study_file: Path) -> None:
    study_file.write_text(study_file.read_text().replace("[privacy]", "[privacy]\nenabled = false"))
    with pytest.raises(InputInvalid, match="no claim to audit"):
        audited(study_file)
