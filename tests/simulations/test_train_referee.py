"""The shipped referee, on records of hospitals that it never saw."""

import pytest

from medm2g.metrics.referee import Referee
from simulations.phantoms import IMAGE_FLOWS, cohort, render_cohort
from simulations.train_referee import accuracy, labelled


@pytest.mark.parametrize("population", ["held-out", "public"])
def test_findings_are_read_whosever_images_they_are(population: str) -> None:
    """Taught by one hospital's images it named .80 of the public hospitals' T2 findings."""
    records = labelled(render_cohort(cohort(population, 160, seed=4_711), IMAGE_FLOWS, processes=1))

    shares = accuracy(Referee.load(), records)

    assert set(shares) == set(IMAGE_FLOWS)
    assert min(shares.values()) > 0.9, shares
