"""`DiffuseLoss` on public batches: every row has the style of its hospital, and loses by another patient's prompt.

    L = mean L(x | c) + w mean [ m - (L(x | c') - L(x | c)) ]_+ ,   c' the prompt of the next patient of the batch

What a plain loss teaches last is where a prompt puts a finding, and of a flow that shows several regions (CT: chests
and heads) it teaches the region and then hardly anything else of a prompt. Mean over seven timesteps, CT's loss by a
prompt with left and right exchanged: .004 higher after 5,500 steps, .007 after 400 more with w = .5 and bounded
attention, .015 with w = 2 (docs/LOG.md, 2026-12-01). A row whose own prompt is better by the margin adds nothing, so
that what separates easily is not pushed on. The second term sharpens as guidance does, at the cost of the look: it
ends before the phase does (`medm2g/pretrain/trunks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from medm2g.errors import InputInvalid
from medm2g.generator import Generator
from medm2g.pretrain.data import PublicPatients
from medm2g.pretrain.styles import HospitalStyles
from medm2g.stages.diffuse import DiffuseLoss
from medm2g.stages.source import Term
from medm2g.stages.stage import without_masked_context

MARGIN = 0.05
"""m: of a denoising loss of .2 to .4."""


class PublicDiffuseLoss(DiffuseLoss):
    """Public training only: rows of different patients meet."""

    contrast: float = 0.0
    """w, where gradients are wanted."""

    def __init__(
        self,
        generator: Generator,
        patients: PublicPatients,
        *,
        flows: Sequence[str],
        styles: HospitalStyles,
        source_prompts: float = 0.0,
    ) -> None:
        super().__init__(generator, patients, flows=flows, source_prompts=source_prompts)
        self.spelling = False  # the decoder was trained in a phase of its own
        self.hospital_of, self.styles = patients.hospital, styles
        for flow, table in styles.tables.items():
            if flow in flows and len(table) <= patients.last_hospital:
                raise InputInvalid("There are fewer styles than public hospitals: give one for each.")

    def draw(self, pseudonym: str, *, generator: torch.Generator, only: Sequence[str] | None = None) -> list[Term]:
        """The terms, with the hospital of their patient and the jitter of its style."""
        hospital, width = self.hospital_of(pseudonym), self.generator.config.style_width
        return [
            Term(
                term.kind,
                term.tensors
                | {
                    "hospital": torch.full((len(term.tensors["weight"]),), hospital),
                    "jitter": torch.randn(len(term.tensors["weight"]), width, generator=generator),
                },
            )
            for term in super().draw(pseudonym, generator=generator, only=only)
        ]

    def style(self, kind: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """(r * k, w)"""
        return self.styles(kind, tensors["hospital"], tensors["jitter"])

    def loss_batch(self, kind: str, parameters: Mapping[str, Tensor], stacked: Mapping[str, Tensor]) -> Tensor:
        """Scalar. The second term is of the first half of the batch, at half the cost of the first."""
        told = without_masked_context(stacked)
        losses = self.batch_losses(kind, parameters, told)  # (patients,)
        if not self.contrast or not torch.is_grad_enabled():
            return losses.mean()
        half = max(1, len(losses) // 2)
        others = {name: tensor[:half] for name, tensor in told.items()}
        others |= {name: told[name].roll(-1, 0)[:half] for name in ("context", "context_mask")}
        lost = self.batch_losses(kind, parameters, others) - losses[:half]
        return losses.mean() + self.contrast * F.relu(MARGIN - lost).mean()
