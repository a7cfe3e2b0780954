"""Attacks on a generator: an untrained one tells nothing, a deliberately memorising one is caught by every attack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.progress import Progress
from torch import Tensor

from medm2g.generator import Generator
from privacy.audit.trade_off import stated_curve
from simulations.audit import release
from simulations.audit.patients import read_patients
from simulations.audit.release import ReleaseTerms, audit_release
from simulations.audit.samples import SamplingTerms
from simulations.errors import InputInvalid
from simulations.generators import open_generator

TERMS = ReleaseTerms(most=12, sampling=SamplingTerms(records=12, num_inference_steps=4))
CLAIM = stated_curve(1.0, delta=1e-3)


class Memorising:
    """The planted fault: a denoiser that has learnt its patients by heart, in closed form.

    The best prediction of x from z = s x + n e, if x is one of the remembered latents, is their mean weighted by how
    well each explains z. It is what infinite training on those patients would give.
    """

    def __init__(self, generator: Generator, remembered: dict[str, Tensor]) -> None:
        self._generator, self._remembered = generator, remembered

    def __call__(self, flow: str, noisy: Tensor, timesteps: Tensor, *told: Any) -> Tensor:
        known = self._remembered[flow].flatten(1)
        signal, spread = (part.flatten(1) for part in self._generator._schedule(timesteps))
        seen = noisy.flatten(1)
        distance = torch.stack(
            [
                ((row - s * known) ** 2).sum(1) / (2 * n**2 + 1e-4)
                for row, s, n in zip(seen, signal, spread, strict=True)
            ]
        )
        latents = (-distance).softmax(1) @ known
        noise = (seen - signal * latents) / spread.clamp_min(1e-2)
        return (signal * noise - spread * latents).view_as(noisy)


@pytest.fixture
def opened(small_generator: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Generator]:
    """The small generator, loaded once for a test and handed to the audit."""
    generator = Generator.from_pretrained(small_generator)
    monkeypatch.setattr(release, "open_generator", lambda word: generator)
    yield generator


def audited(members: Path, others: Path, **changes: Any) -> dict[str, Any]:
    terms: dict[str, Any] = {"claim": CLAIM, "reference": None, "terms": TERMS} | changes
    return audit_release("shipped", [members], [others], progress=Progress(disable=True), **terms)


def test_a_generator_that_never_saw_anybody_passes(opened: Generator, members: Path, others: Path) -> None:
    found = audited(members, others, reference="shipped")
    assert found["passed"], [check for check in found["checks"] if not check["passed"]]
    assert found["members"] == found["others"] == 12 and found["calibrated"] and not found["not_attacked"]
    assert set(found["attacks"]) == {"loss threshold", "PIA", "predicted-noise norm", "calibrated loss"}
    assert found["attacks"]["calibrated loss"]["auc"]["value"] == 0.5  # it is its own reference
    assert set(found["attacks"]["PIA"]["flows"]) == {"xray", "text"}
    assert {(s["flow"], s["space"]) for s in found["samples"]} == {
        ("xray", "pixels"),
        ("xray", "referee features"),
        ("text", "text embedding"),
    }


def test_planted_a_memorising_generator_is_caught_by_every_attack(
    members: Path, others: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped one, for its codecs: what is remembered must come out as a picture."""
    opened = open_generator("shipped")
    monkeypatch.setattr(release, "open_generator", lambda word: opened)
    inside = read_patients(members, opened, most=12)
    remembered = {flow: records.latents for flow, records in inside.flows.items()}
    monkeypatch.setattr(opened, "denoise", Memorising(opened, remembered))
    found = audited(members, others)
    for name, figures in found["attacks"].items():
        assert figures["auc"]["value"] >= 0.95, (name, figures["auc"])
    failed = {check["name"] for check in found["checks"] if not check["passed"]}
    assert {f"membership: {name}" for name in found["attacks"]} <= failed
    assert "memorisation: xray, pixels" in failed
    pixels = next(s for s in found["samples"] if s["space"] == "pixels")
    assert pixels["nearest_share"] > 0.9 and pixels["copies"] > 12


def test_a_group_of_sources_is_the_same_as_their_union(opened: Generator, members: Path, others: Path) -> None:
    both = [read_patients(folder, opened, most=4) for folder in (members, others)]
    together = type(both[0]).together(both)
    assert together.patients == 8
    records = together.flows["xray"]
    assert sorted(set(records.owners.tolist())) == list(range(8))
    assert torch.equal(records.latents[:4], both[0].flows["xray"].latents)


def test_too_few_patients_and_no_folder_are_refused(opened: Generator, members: Path, tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="at least 8"):
        audited(members, members, terms=replace(TERMS, most=4))
    with pytest.raises(InputInvalid, match="There is no folder"):
        audited(members, tmp_path / "absent")
