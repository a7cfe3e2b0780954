"""Who is held out of real records: whole patients, of every group alike, and never more than a site can spare."""

from __future__ import annotations

from simulations.real_sites import held_out_of

PATIENTS = {f"a{n}": "a" for n in range(40)} | {f"b{n}": "b" for n in range(8)}


def test_every_group_gives_its_share_and_the_choice_never_changes() -> None:
    chosen = held_out_of(PATIENTS, declared=10)
    assert len(chosen) == round(0.15 * 48)
    assert {PATIENTS[patient] for patient in chosen} == {"a", "b"}
    assert chosen == held_out_of(dict(reversed(PATIENTS.items())), declared=10)


def test_a_site_keeps_as_many_patients_as_it_declared() -> None:
    assert len(held_out_of(PATIENTS, declared=45)) == 3
    assert held_out_of(PATIENTS, declared=48) == held_out_of(PATIENTS, declared=500) == []
