"""Each patient's randomness is its own."""

from __future__ import annotations

import itertools

import pytest

from privacy.errors import ConfigInvalid
from privacy.patient_stream import PatientStream, SeededPatientStream

KEY = bytes(range(32))


def seed(
    *, key: bytes = KEY, study: str = "s", stage: str = "align", round_number: int = 1, step: int = 0, who: str = "p"
) -> int:
    stream = PatientStream(key, study_digest=study, stage=stage, round_number=round_number)
    return stream.seed(step=step, pseudonym=who)


def test_a_seed_depends_on_key_study_stage_round_step_and_patient_and_on_nothing_else() -> None:
    changed = [
        seed(),
        seed(key=bytes(reversed(KEY))),
        seed(study="t"),
        seed(stage="diffuse"),
        seed(round_number=2),
        seed(step=1),
        seed(who="q"),
    ]
    assert len(set(changed)) == len(changed)
    assert seed() == seed()


def test_neighbouring_fields_do_not_run_into_each_other() -> None:
    assert seed(study="ab", stage="c") != seed(study="a", stage="bc")
    assert seed(step=1, who="1") != seed(step=11, who="")


def test_seeds_have_63_bits_and_do_not_collide() -> None:
    seeds = {seed(step=step, who=str(who)) for step, who in itertools.product(range(5), range(500))}
    assert len(seeds) == 2500
    assert max(seeds).bit_length() == 63


def test_two_sites_draw_differently_for_the_same_pseudonym() -> None:
    assert seed(key=b"a" * 32) != seed(key=b"b" * 32)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ConfigInvalid):
        seed(key=b"short")


def test_a_public_seed_is_reproducible_and_its_key_does_not_show() -> None:
    one, two = (SeededPatientStream(3, study_digest="s", stage="align", round_number=1) for _ in range(2))
    assert one.seed(step=0, pseudonym="p") == two.seed(step=0, pseudonym="p")
    assert one._key.hex() not in repr(one)
