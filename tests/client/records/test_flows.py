"""A sequence is named only where it is sure."""

from __future__ import annotations

import pytest

from client.records.errors import Refused
from client.records.flows import MriTiming, flow_of, mri_sequence
from client.records.reasons import Reason


@pytest.mark.parametrize(
    ("words", "sequence"),
    [
        ("AX T1 SE", "T1"),
        ("t1_mprage_sag_p2_iso", "T1"),
        ("Ax 3D BRAVO +C", "T1"),
        ("axial T1W+Gd", "T1"),
        ("T1W+Gd (plane not stated)", "T1"),
        ("T1 FLAIR sag", "T1"),
        ("AX T2 TSE", "T2"),
        ("T2W_TSE", "T2"),
        ("T2 FLAIR", "FLAIR"),
        ("t2_tirm_tra_dark-fluid", "FLAIR"),
        ("FLAIR cor", "FLAIR"),
        ("T2* GRE", ""),
        ("t2_star_axial", ""),
        ("ep2d_diff_3scan_trace", ""),
        ("DWI b1000", ""),
        ("SWI_Images", ""),
        ("TOF angio", ""),
        ("PD TSE", ""),
        ("STIR sag", ""),
        ("T1 and T2", ""),
        ("axial", ""),
        ("", ""),
    ],
)
def test_words_name_a_sequence_only_where_they_are_clear(words: str, sequence: str) -> None:
    assert mri_sequence(words) == sequence


@pytest.mark.parametrize(
    ("scanning", "repetition", "echo", "inversion", "sequence"),
    [
        ({"SE"}, 500, 15, None, "T1"),
        ({"SE"}, 4000, 100, None, "T2"),
        ({"SE", "IR"}, 9000, 120, 2500, "FLAIR"),
        ({"GR", "IR"}, 2000, 3, 900, "T1"),
        ({"GR"}, 20, 4, None, "T1"),
        ({"SE"}, 3000, 20, None, ""),  # proton density
        ({"GR"}, 700, 25, None, ""),  # T2*
        ({"SE", "IR"}, 5000, 60, 160, ""),  # STIR
        ({"SE"}, None, 15, None, ""),
        ({"EP"}, 4000, 90, None, ""),
    ],
)
def test_physics_names_a_sequence_only_within_clinical_limits(
    scanning: set[str], repetition: float | None, echo: float | None, inversion: float | None, sequence: str
) -> None:
    assert mri_sequence(timing=MriTiming(frozenset(scanning), repetition, echo, inversion)) == sequence


def test_words_go_before_physics_and_a_diffusion_map_before_both() -> None:
    looks_t1 = MriTiming(frozenset({"SE"}), 500, 15)
    assert mri_sequence("T2 TSE", timing=looks_t1) == "T2"
    assert mri_sequence("T1", image_type=["DERIVED", "PRIMARY", "ADC"], timing=looks_t1) == ""
    assert mri_sequence("", contrast="FLUID_ATTENUATED", timing=looks_t1) == "FLAIR"
    assert mri_sequence("", contrast="DIFFUSION", timing=looks_t1) == ""


def test_modalities_go_to_their_flow_or_to_none() -> None:
    assert [flow_of(modality) for modality in ("CR", "DX", "RF", "CT")] == ["xray", "xray", "xray", "ct"]
    assert [flow_of("MR", sequence) for sequence in ("T1", "T2", "FLAIR")] == ["mri_t1", "mri_t2", "mri_flair"]
    for modality, sequence, reason in (("NM", "", Reason.NO_FLOW), ("MR", "", Reason.UNKNOWN_SEQUENCE)):
        with pytest.raises(Refused) as refused:
            flow_of(modality, sequence)
        assert refused.value.reason is reason
