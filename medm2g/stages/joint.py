"""One patient's joint draw: which records go together, in which state each flow is, and what a target is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medm2g.generator import Generator
from medm2g.stages.draws import (
    Context,
    TemplateFeatures,
    aligned_rows,
    coin,
    normal,
    report_row,
    sentence_of,
)
from medm2g.stages.roles import Role
from medm2g.stages.source import PatientRecords

PROMPT_SHARE = 0.5
"""Of rows whose text is neither source nor target: the share that is prompted by the report all the same, as a user
prompts who has words but no report to give as a source. Of the text target's rows: the share with a template."""


class JointDraw:
    """b rows (records x draws) of every flow that the patient holds. Draws in a fixed order, so that one generator
    gives one outcome."""

    def __init__(
        self,
        networks: Generator,
        records: PatientRecords,
        templates: TemplateFeatures,
        *,
        held: Mapping[str, Tensor],
        first: str,
        rows: Tensor,
        weights: Tensor,
        timesteps: Tensor,
        generator: torch.Generator,
    ) -> None:
        """held: by flow, the rows that may go together. rows (b,): records of the flow `first`, around which the
        others are chosen."""
        self.networks, self.records, self.templates = networks, records, templates
        self.weights, self.timesteps = weights, timesteps
        self.aligned = "alignment" not in networks.config.without
        self.roles: dict[str, Role] = dict.fromkeys(held, Role.TARGET)
        self.rows = {first: rows}
        for flow, candidates in held.items():
            if flow != first:
                chosen = [self._companion(first, int(row), flow, candidates, generator) for row in rows]
                self.rows[flow] = torch.tensor(chosen)
        self.noise = {flow: normal((len(rows), *networks.latent_shape(flow)), generator=generator) for flow in held}
        self._aligned: dict[str, tuple[Tensor, Tensor]] = {}
        self.with_words: list[bool] = []

    def assign(self, roles: Mapping[str, Role], *, generator: torch.Generator) -> None:
        """Give every held flow its role, and each row its coin for a prompt."""
        self.roles = dict(roles)
        self.with_words = [coin(PROMPT_SHARE, generator=generator) for _ in self.timesteps]

    def state(self, flow: str) -> dict[str, Tensor]:
        """Tensors of one flow, held or not, that is heard or alone: zeros where it is absent."""
        rows = len(self.timesteps)
        role = self.roles.get(flow, Role.ABSENT)
        width = self.networks.config.context_width
        zeros = torch.zeros(rows, *self.networks.latent_shape(flow))
        absent = role is Role.ABSENT
        return {
            f"latents.{flow}": zeros if absent else self.latents(flow),
            f"noise.{flow}": zeros if absent else self.noise[flow],
            f"timesteps.{flow}": self.timesteps if role is Role.TARGET else torch.zeros_like(self.timesteps),
            f"clean.{flow}": torch.full((rows,), float(role is Role.SOURCE)),
            f"positive.{flow}": torch.zeros(rows, width) if absent else self.point(flow),
            f"present.{flow}": torch.full((rows,), float(not absent)),
        }

    def latents(self, flow: str) -> Tensor:
        """(b, c, h, w), clean."""
        return self.records.latents[flow][self.rows[flow]].float()

    def point(self, flow: str) -> Tensor:
        """(b, 384): the rows' own points in the shared space."""
        if flow == self.networks.text_flow:
            return self.records.text_pooled[self.rows[flow]].float()
        return self._aligned_of(flow)[0]

    def context(self, target: str, others: Sequence[str], *, dropout: float, generator: torch.Generator) -> Tensor:
        """Tokens (b, n, 384 + 1): the last column is the mask. n is the same for every patient."""
        images = [other for other in others if other in self.networks.image_flows]
        told: list[Tensor] = []
        for index in range(len(self.timesteps)):
            context = Context(self._prompt(target, index, coin(dropout, generator=generator)))
            for other in images:
                speaks = self.aligned and self.roles.get(other) is Role.SOURCE
                tokens = self._aligned_of(other)[1][index] if speaks else self._no_tokens()
                context.add(tokens, speaks)
            tokens, mask = context.stacked()
            told.append(torch.cat([tokens, mask[:, None].half()], 1))
        return torch.stack(told)

    def _prompt(self, target: str, index: int, dropped: bool) -> tuple[Tensor, Tensor]:
        """The report where text is a clean source (the pipeline prompts by it too); words without a source by the
        row's coin; else a template. Never a report for the text target, nor where the text is being written too."""
        text = self.networks.text_flow or ""
        role = self.roles.get(text, Role.ABSENT)
        words = self.with_words[index]
        row = int(self.rows[target][index])
        if dropped:
            return self.templates("")[:2]
        if target == text:
            return self.templates(sentence_of(self.records, target, row) if words else "")[:2]
        report = int(self.rows[text][index]) if role is Role.SOURCE else -1
        if role is Role.ABSENT and words:
            report = report_row(self.records, target, row)
        if report >= 0:
            return self.records.text_tokens[report], self.records.text_mask[report]
        return self.templates(sentence_of(self.records, target, row) if words else "")[:2]

    def _companion(self, first: str, row: int, flow: str, candidates: Tensor, generator: torch.Generator) -> int:
        """A record of `flow` that goes with record `row` of `first`: the very report or image, else a candidate."""
        text, report_of = self.networks.text_flow, self.records.report_of
        if flow == text and (own := report_row(self.records, first, row)) >= 0:
            return own
        if first == text and flow in report_of:
            described = candidates[report_of[flow][candidates] == row]
            candidates = described if len(described) else candidates
        return int(candidates[torch.randint(len(candidates), (1,), generator=generator)])

    def _aligned_of(self, flow: str) -> tuple[Tensor, Tensor]:
        if flow not in self._aligned:
            self._aligned[flow] = aligned_rows(self.networks, self.records, flow, self.rows[flow])
        return self._aligned[flow]

    def _no_tokens(self) -> Tensor:
        config = self.networks.config
        return torch.zeros(config.aligned_tokens, config.context_width)


def target_term(
    joint: JointDraw, target: str, others: Sequence[str], *, dropout: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Tensors of the term of one target that may hear `others`."""
    tensors = {
        f"latents.{target}": joint.latents(target),
        f"noise.{target}": joint.noise[target],
        f"timesteps.{target}": joint.timesteps,
        "weight": joint.weights,
    }
    for other in others:
        tensors |= joint.state(other)
    told = joint.context(target, others, dropout=dropout, generator=generator)
    return tensors | {"context": told[..., :-1].contiguous(), "context_mask": told[..., -1].float()}


def alone_term(joint: JointDraw, flow: str, *, generator: torch.Generator) -> dict[str, Tensor]:
    """Tensors of the term of a patient's only flow: half of the rows clean, as it is when it is a source."""
    clean = (torch.rand(len(joint.timesteps), generator=generator) < 0.5).float()
    state = joint.state(flow) | {f"clean.{flow}": clean, "weight": joint.weights}
    state[f"timesteps.{flow}"] = (joint.timesteps * (1 - clean)).long()
    return state


def one_examination(
    records: PatientRecords, flows: Sequence[str], *, having: Sequence[str] = (), generator: torch.Generator
) -> dict[str, Tensor]:
    """By held flow, the rows of one examination of the patient: what was imaged and written together.

    Where examinations are unknown, or the one drawn has a single flow, all of the patient's records go together.
    having: only examinations with one of these flows, if there are any (public pre-training).
    """
    everything = {flow: torch.arange(records.count(flow)) for flow in flows if records.count(flow)}
    labelled = {flow: records.imaging_study[flow] for flow in everything if flow in records.imaging_study}
    if not labelled:
        return everything
    wanted = [flow for flow in having if flow in labelled] or list(labelled)
    labels = torch.cat([labelled[flow] for flow in wanted])
    label = labels[torch.randint(len(labels), (1,), generator=generator)]
    together = {flow: (own == label).nonzero()[:, 0] for flow, own in labelled.items()}
    together = {flow: rows for flow, rows in together.items() if len(rows)}
    return together if len(together) > 1 else everything
