"""Invented patients as a stage sees them: random pixels, real text features."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from medm2g import Generator
from medm2g.stages.source import PatientRecords


def invented_patient(generator: Generator, counts: Mapping[str, int], *, seed: int = 0) -> PatientRecords:
    """`counts` records per flow; the k-th image goes with the k-th report, if there is one."""
    random = torch.Generator().manual_seed(seed)
    size = generator.config.image_size
    reports = counts.get("text", 0)
    features = generator.encode_text([f"Right pleural effusion, number {seed + index}." for index in range(reports)])
    image_flows = [flow for flow in counts if flow in generator.image_flows]
    return PatientRecords(
        images={
            flow: (torch.rand(counts[flow], 1, size, size, generator=random) * 2 - 1).half() for flow in image_flows
        },
        latents={
            flow: torch.randn(count, *generator.latent_shape(flow), generator=random) for flow, count in counts.items()
        },
        text_tokens=features.tokens,
        text_ids=features.ids,
        text_mask=features.mask,
        text_pooled=features.pooled,
        report_of={
            flow: torch.tensor([index if index < reports else -1 for index in range(counts[flow])])
            for flow in image_flows
        },
        templates={flow: ("Chest X-ray, PA view.",) * count for flow, count in counts.items()},
    )


class Patients:
    """A PatientSource over invented patients."""

    def __init__(self, generator: Generator, counts: Mapping[str, Mapping[str, int]]) -> None:
        self.known = {
            name: invented_patient(generator, own, seed=index) for index, (name, own) in enumerate(counts.items())
        }

    def patient(self, pseudonym: str) -> PatientRecords:
        return self.known[pseudonym]
