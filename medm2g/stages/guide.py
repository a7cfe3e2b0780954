"""Stage `guide`: flows learn to hear each other (our reading: notes/medm2g.md §2, eq. 4; DESIGN.md §4.4, §4.5).

For a target flow A of a patient, with the patient's other flows B clean (t_B = 0), noised (t_B = t) or absent:

    L_A = |v_A - v_theta,phi(z_t^A, t, c, {V_B(z_tB^B, t_B)})|^2  +  beta * mean over present B of NCE(pooled V_B, e_B)

theta (the denoisers) is frozen; A's adapters phi and every V_B, B != A, train. c is a prompt and the aligned tokens of
the clean image sources. e_B is B's own point in the shared space (the aligned embedding; for text the encoder's), its
negatives are public anchors: so V's of flows that no site holds together still meet, through the hub. A patient with
one flow trains its V by that second part alone. The text target never hears its own report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medm2g.anchors import AnchorBank
from medm2g.generator import Generator
from medm2g.losses import AnchoredInfoNCE, DenoisingLoss
from medm2g.stages.draws import choose_rows, stratified_timesteps
from medm2g.stages.joint import JointDraw, alone_term, one_examination, target_term
from medm2g.stages.roles import choose_targets, draw_roles
from medm2g.stages.source import PatientRecords, PatientSource, Term
from medm2g.stages.stage import Stage, rows_of, without_masked_context

NOISIER = 6.0
"""Timesteps lie near pure noise (`stratified_timesteps`): there another flow has something to say, while at half the
noise the target knows its own image and teaches V and adapters nothing (docs/LOG.md, 2026-11-28)."""
ALONE = "/alone"
"""Kinds of term are the target's flow, or a flow with this behind it: only V, by contrast."""


class GuideLoss(Stage):
    """At most `targets_per_patient` terms, one per target flow; trains `cross_guidance/<flow>` of the site's flows."""

    def __init__(
        self,
        generator: Generator,
        patients: PatientSource,
        *,
        flows: Sequence[str],
        anchors: AnchorBank,
        records_per_patient: int = 1,
        timestep_draws: int = 1,
        conditioning_dropout: float = 0.1,
        targets_per_patient: int = 2,
        contrast_weight: float = 0.05,
    ) -> None:
        """Every term has R * K rows. contrast_weight: beta."""
        super().__init__(generator, patients, flows=flows)
        self.records_per_patient, self.timestep_draws = records_per_patient, timestep_draws
        self.conditioning_dropout, self.targets_per_patient = conditioning_dropout, targets_per_patient
        self.contrast_weight = 0.0 if "alignment" in self.without else contrast_weight
        self.denoising, self.contrast = DenoisingLoss(), AnchoredInfoNCE(anchors)

    def others(self, flow: str) -> tuple[str, ...]:
        """The site's other flows, in the configuration's order: those that a target may hear."""
        return tuple(other for other in self.flows if other != flow)

    def touched(self, kind: str) -> tuple[str, ...]:
        """For a target A: A's adapters and V_B of every other flow of the site. Alone: that flow's V."""
        if kind.endswith(ALONE):
            flow = kind.removesuffix(ALONE)
            return self.group_names(f"cross_guidance/{flow}", part=f"environments.{flow}.")
        own = self.group_names(f"cross_guidance/{kind}", part=f"adapters.{kind}.")
        heard = tuple(f"adapters.{kind}.embeddings.{other}" for other in self.others(kind))
        gates = tuple(f".gates.{other}." for other in self.others(kind))
        adapters = tuple(
            name
            for name in own
            if (".embeddings." not in name or name in heard)
            and (".gates." not in name or any(g in name for g in gates))
        )
        environments = (
            self.group_names(f"cross_guidance/{other}", part=f"environments.{other}.") for other in self.others(kind)
        )
        return adapters + tuple(name for names in environments for name in names)

    def draw(self, pseudonym: str, *, generator: torch.Generator, only: Sequence[str] | None = None) -> list[Term]:
        """Draws one examination, the roles (those of `only` are targets, if held), then for each row: which records,
        one timestep, the noise, the prompt."""
        if "cross_guidance" in self.without:
            return []
        records = self.patients.patient(pseudonym)
        held = one_examination(records, self.flows, having=only or (), generator=generator)
        if not held:
            return []
        if len(held) == 1:
            flow = next(iter(held))
            return [Term(flow + ALONE, alone_term(self._joint(records, held, generator), flow, generator=generator))]
        roles = draw_roles(tuple(held), targets=only or (), generator=generator)
        targets = choose_targets(roles, self.targets_per_patient, generator=generator)
        joint = self._joint(records, held, generator)
        joint.assign(roles, generator=generator)
        return [
            Term(
                flow,
                target_term(joint, flow, self.others(flow), dropout=self.conditioning_dropout, generator=generator),
            )
            for flow in targets
            if only is None or flow in only
        ]

    def _joint(self, records: PatientRecords, held: Mapping[str, Tensor], generator: torch.Generator) -> JointDraw:
        """R tuples of records that belong together, K timesteps for each."""
        first = tuple(held)[int(torch.randint(len(held), (1,), generator=generator))]
        places, weights = choose_rows(len(held[first]), self.records_per_patient, generator=generator)
        rows = held[first][places]
        timesteps = stratified_timesteps(
            len(rows), self.timestep_draws, self.timesteps, noisier=NOISIER, generator=generator
        )
        return JointDraw(
            self.generator,
            records,
            self.templates,
            held=held,
            first=first,
            rows=rows.repeat_interleave(self.timestep_draws),
            weights=weights.repeat_interleave(self.timestep_draws),
            timesteps=timesteps,
            generator=generator,
        )

    def row_losses(self, kind: str, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Tensor:
        """(r * k,)"""
        if kind.endswith(ALONE):
            return self._contrast(kind.removesuffix(ALONE), parameters, tensors)[1]
        return self._guided(kind, self.others(kind), parameters, tensors)

    def loss_batch(self, kind: str, parameters: Mapping[str, Tensor], stacked: Mapping[str, Tensor]) -> Tensor:
        """As for every stage; flows that are absent from the whole batch, which say nothing, are left out."""
        if kind.endswith(ALONE):
            return super().loss_batch(kind, parameters, stacked)
        heard = tuple(other for other in self.others(kind) if bool(stacked[f"present.{other}"].any()))
        losses = self._guided(kind, heard, parameters, rows_of(without_masked_context(stacked)))
        return self.by_patient(kind, losses, stacked["weight"]).mean()

    def _guided(
        self, kind: str, others: tuple[str, ...], parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
    ) -> Tensor:
        """(r * k,): the target `kind`, hearing those of `others` that are present. There is always one."""
        heard = [self._contrast(other, parameters, tensors) for other in others]
        present = torch.stack([tensors[f"present.{other}"] for other in others], 1)  # (b, s)
        latents, noise = tensors[f"latents.{kind}"], tensors[f"noise.{kind}"]
        timesteps = tensors[f"timesteps.{kind}"]
        predicted = self.call(
            parameters,
            "denoise",
            kind,
            self.generator.add_noise(latents, noise, timesteps),
            timesteps,
            tensors["context"],
            tensors["context_mask"],
            torch.stack([tokens for tokens, _ in heard], 1),  # (b, s, 16, 96)
            present,
            others,
        )
        velocity = self.generator.velocity(latents, noise, timesteps)
        denoising = self.denoising(predicted, velocity, self.generator.alphas_cumprod[timesteps])
        contrast = (torch.stack([value for _, value in heard], 1) * present).sum(1) / present.sum(1).clamp_min(1)
        return denoising + self.contrast_weight * contrast

    def _contrast(
        self, flow: str, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """V_flow of what it is given: grid tokens (b, 16, 96), and the contrast (b,) of their pooled point."""
        latents, timesteps = tensors[f"latents.{flow}"], tensors[f"timesteps.{flow}"]
        clean = tensors[f"clean.{flow}"][:, None, None, None]  # 1: as it is, at t = 0
        noisy = self.generator.add_noise(latents, tensors[f"noise.{flow}"], timesteps)
        spoken = clean * latents + (1 - clean) * noisy
        tokens, pooled = self.call(parameters, "environment", flow, spoken, timesteps)
        return tokens, self.contrast(pooled, tensors[f"positive.{flow}"])
