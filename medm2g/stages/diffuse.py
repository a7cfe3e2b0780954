"""Stage `diffuse`: one flow's denoiser on its latents and text context (our reading: notes/medm2g.md §2, eq. 1).

    L = mean over records and K draws of w(t) |v - v_theta(z_t, t, c)|^2 ,  t stratified over the K draws

c is the record's own report, or else its public template; with probability `conditioning_dropout` it is the null text,
which is what classifier-free guidance subtracts. The text flow must not read the report that it is to write: its c is
the public template of a report, or null. With `source_prompts` the clean other images of the same examination may
join c by their aligned tokens: in public pre-training, so that a denoiser learns to read them as it reads text; in
private training, so that a record without a report is still told what it shows. They are the patient's own.

Beside the text flow's denoiser trains its decoder's adapter, on what denoising cannot tell it, the patient's own words:

    L_text += w mean over words of -log p(word | words before it, the report's clean latents)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medm2g.generator import Generator
from medm2g.losses import DenoisingLoss
from medm2g.stages.draws import (
    Context,
    aligned_rows,
    choose_rows,
    coin,
    normal,
    report_row,
    rows_beside,
    sentence_of,
    stratified_timesteps,
)
from medm2g.stages.source import PatientRecords, PatientSource, Term
from medm2g.stages.stage import Stage

SPELLING_WEIGHT = 0.1
"""w."""
NEGATIVES = 256
"""Random words beside a report's own that each word is told from."""
TEMPLATE_SHARE = 0.15
"""Of rows whose report is replaced by its template, so that both kinds of prompt keep their meaning."""


class DiffuseLoss(Stage):
    """One term per flow of the patient; kind = flow; trains `diffusion/<flow>`."""

    def __init__(
        self,
        generator: Generator,
        patients: PatientSource,
        *,
        flows: Sequence[str],
        records_per_patient: int = 1,
        timestep_draws: int = 1,
        conditioning_dropout: float = 0.1,
        source_prompts: float = 0.0,
        min_snr_gamma: float | None = None,
    ) -> None:
        """Every term has R * K rows. source_prompts: probability that each other image flow of the
        examination joins c."""
        super().__init__(generator, patients, flows=flows)
        self.records_per_patient, self.timestep_draws = records_per_patient, timestep_draws
        self.conditioning_dropout = conditioning_dropout
        self.source_prompts = 0.0 if "alignment" in self.without else source_prompts
        self.denoising = DenoisingLoss(min_snr_gamma=min_snr_gamma)
        self.spelling = generator.text_flow is not None

    def touched(self, kind: str) -> tuple[str, ...]:
        """The flow's style and the trainable subset of its denoiser."""
        return self.group_names(f"diffusion/{kind}")

    def draw(self, pseudonym: str, *, generator: torch.Generator, only: Sequence[str] | None = None) -> list[Term]:
        """Draws, per flow: which records, the timesteps, the noise, and what each row is told."""
        records = self.patients.patient(pseudonym)
        flows = [flow for flow in self.flows if only is None or flow in only]
        return [self._term(flow, records, generator) for flow in flows if records.count(flow)]

    def _term(self, flow: str, records: PatientRecords, generator: torch.Generator) -> Term:
        draws = self.timestep_draws
        rows, weights = choose_rows(records.count(flow), self.records_per_patient, generator=generator)
        latents = records.latents[flow][rows].float().repeat_interleave(draws, 0)  # (r * k, c, h, w)
        timesteps = stratified_timesteps(len(rows), draws, self.timesteps, generator=generator)
        told = [self._context(flow, records, int(row), generator) for row in rows for _ in range(draws)]
        words = self._words(records, rows, generator) if self._spells(flow) else {}
        return Term(
            flow,
            {
                "latents": latents,
                "noise": normal(tuple(latents.shape), generator=generator),
                "timesteps": timesteps,
                "context": torch.stack([tokens for tokens, _ in told]),  # (r * k, n, 384)
                "context_mask": torch.stack([mask for _, mask in told]),
                "weight": weights.repeat_interleave(draws, 0),
            }
            | {name: tensor.repeat_interleave(draws, 0) for name, tensor in words.items()},
        )

    def _spells(self, flow: str) -> bool:
        return self.spelling and flow == self.generator.text_flow

    def _words(self, records: PatientRecords, rows: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Of the chosen reports (r, ...): their words, which of them are there, and words that are not theirs."""
        vocabulary = len(self.generator.text_encoder.word_embeddings)
        return {
            "ids": records.text_ids[rows],
            "ids_mask": records.text_mask[rows].float(),
            "negatives": torch.randint(vocabulary, (len(rows), NEGATIVES), generator=generator),
        }

    def _context(
        self, flow: str, records: PatientRecords, row: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Tokens (n, 384) and mask (n,) of one row. n is the same for every patient."""
        sources = [other for other in self.image_flows if other != flow] if self.source_prompts > 0 else []
        beside = {other: rows_beside(records, flow, row, other) for other in sources}
        heard = {
            other: len(rows) > 0 and coin(self.source_prompts, generator=generator) for other, rows in beside.items()
        }
        dropout = 0.5 if any(heard.values()) else self.conditioning_dropout
        context = Context(self._prompt(flow, records, row, dropout, generator))
        width = self.generator.config.context_width
        for other in sources:
            tokens = torch.zeros(self.generator.config.aligned_tokens, width)
            if heard[other]:
                chosen = torch.randint(len(beside[other]), (1,), generator=generator)
                tokens = aligned_rows(self.generator, records, other, beside[other][chosen])[1][0]
            context.add(tokens, heard[other])
        return context.stacked()

    def _prompt(
        self, flow: str, records: PatientRecords, row: int, dropout: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The row's prompt: tokens (64, 384) and mask (64,)."""
        dropped, plain = coin(dropout, generator=generator), coin(TEMPLATE_SHARE, generator=generator)
        report = -1 if flow == self.generator.text_flow else report_row(records, flow, row)
        if report >= 0 and not dropped and not plain:
            return records.text_tokens[report], records.text_mask[report]
        return self.templates("" if dropped else sentence_of(records, flow, row))[:2]

    def style(self, kind: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """(r * k, w) where rows have styles of their own (public pre-training); None for the flow's own."""
        return None

    def row_losses(self, kind: str, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Tensor:
        """(r * k,)"""
        latents, noise, timesteps = tensors["latents"], tensors["noise"], tensors["timesteps"]
        noisy = self.generator.add_noise(latents, noise, timesteps)
        told = tensors["context"], tensors["context_mask"]
        predicted = self.call(parameters, "denoise", kind, noisy, timesteps, *told, style=self.style(kind, tensors))
        velocity = self.generator.velocity(latents, noise, timesteps)
        losses = self.denoising(predicted, velocity, self.generator.alphas_cumprod[timesteps])
        if not self._spells(kind):
            return losses
        words = tensors["ids"], tensors["ids_mask"], tensors["negatives"]
        return losses + SPELLING_WEIGHT * self.call(parameters, "spell", kind, latents, *words)
