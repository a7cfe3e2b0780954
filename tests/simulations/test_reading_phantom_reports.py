"""Every report that a phantom's radiologist writes is read back as the truth it was written from."""

from __future__ import annotations

from collections import Counter

import pytest

from medm2g.metrics.report_findings import finding_labels
from simulations.phantoms import EVERYTHING, POPULATIONS, cohort, finding_label
from simulations.phantoms.report import region_of, report


@pytest.mark.parametrize("population", sorted(POPULATIONS))
def test_reports_say_the_truth_and_the_reader_reads_it(population: str) -> None:
    wrong: Counter[str] = Counter()
    for patient, here in cohort(population, 300, seed=41):
        for flow in ("xray", "mri_t1"):
            truth = finding_label(patient, flow)
            read = finding_labels(report(patient, here, region_of(patient, flow), EVERYTHING))
            if read != ({truth} - {"none"}):
                wrong[truth] += 1
    assert not wrong
