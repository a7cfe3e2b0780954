"""The shipped referee, on records of hospitals that it never saw."""

import pytest

from medm2g.metrics.referee import Referee
from simulations import train_encoder, train_referee
from simulations.phantoms import IMAGE_FLOWS, PUBLIC_HOSPITALS, cohort, render_cohort
from simulations.train_referee import accuracy, labelled


@pytest.mark.parametrize("population", ["held-out", "public"])
def test_findings_are_read_whosever_images_they_are(population: str) -> None:
    """Taught by one hospital's images it named .80 of the public hospitals' T2 findings."""
    records = labelled(render_cohort(cohort(population, 160, seed=4_711), IMAGE_FLOWS, processes=1))

    shares = accuracy(Referee.load(), records)

    assert set(shares) == set(IMAGE_FLOWS)
    assert min(shares.values()) > 0.9, shares


def test_neither_pre_training_nor_the_image_features_have_the_referee_s_hospitals() -> None:
    ours = set(range(train_referee.FIRST_HOSPITAL, train_referee.FIRST_HOSPITAL + 800))
    features = set(range(train_encoder.FIRST_HOSPITAL, train_encoder.FIRST_HOSPITAL + 800))
    assert not ours & (features | set(range(PUBLIC_HOSPITALS)))
