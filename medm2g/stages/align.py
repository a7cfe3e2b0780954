"""Stage `align`: each image flow into the text encoder's space, place by place invariant (DESIGN.md §4.1, §4.2).

For two photometric views a, b of a record x with text r (its own report, or else its public template):

    L = mean over a, b of 1/2 [ NCE(e(view), r) + NCE(mean token(view), r) + rho (log |mean token| - log s)^2 ]
        + alpha * Invariance(spatial(a), spatial(b))

e is the embedding; the aligned tokens must *read* like text to the denoisers, so their mean is held to the same text
and to the scale s of the encoder's hidden states. A record without text trains the invariant alone. Our reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from medm2g.alignment import Aligned
from medm2g.anchors import AnchorBank
from medm2g.generator import Generator
from medm2g.losses import AnchoredInfoNCE, SpatialInvariance
from medm2g.stages.draws import choose_rows, report_row, sentence_of
from medm2g.stages.source import PatientRecords, PatientSource, Term
from medm2g.stages.stage import Stage
from medm2g.views import draw_settings, photometric

TOKEN_SCALE = 0.1
"""rho."""


class AlignLoss(Stage):
    """One term per image flow of the patient; kind = flow; trains `alignment/<flow>`."""

    def __init__(
        self,
        generator: Generator,
        patients: PatientSource,
        *,
        flows: Sequence[str],
        anchors: AnchorBank,
        records_per_patient: int = 1,
        invariance_weight: float = 0.2,
    ) -> None:
        """records_per_patient: R, rows of every term. invariance_weight: alpha."""
        super().__init__(generator, patients, flows=flows)
        self.records_per_patient = records_per_patient
        self.invariance_weight = 0.0 if "visual_invariant" in self.without else invariance_weight
        self.central_weight = 0.0 if "alignment" in self.without else 1.0
        self.contrast, self.invariance = AnchoredInfoNCE(anchors), SpatialInvariance()
        self.token_norm = anchors.token_norm

    def touched(self, kind: str) -> tuple[str, ...]:
        """The trainable subset of `alignment/<flow>`."""
        return self.group_names(f"alignment/{kind}")

    def draw(self, pseudonym: str, *, generator: torch.Generator, only: Sequence[str] | None = None) -> list[Term]:
        """Draws, per flow: which records, then both views."""
        records = self.patients.patient(pseudonym)
        flows = [flow for flow in self.image_flows if only is None or flow in only]
        return [self._term(flow, records, generator) for flow in flows if records.count(flow)]

    def _term(self, flow: str, records: PatientRecords, generator: torch.Generator) -> Term:
        rows, weights = choose_rows(records.count(flow), self.records_per_patient, generator=generator)
        images = records.images[flow][rows].float()  # (r, 1, s, s)
        texts = [self._text(records, flow, int(row)) for row in rows]
        return Term(
            flow,
            {
                "first": photometric(images, draw_settings(images, generator=generator)),
                "second": photometric(images, draw_settings(images, generator=generator)),
                "positive": torch.stack([pooled for pooled, _ in texts]).float(),  # (r, 384)
                "has_text": torch.tensor([float(found) for _, found in texts]),
                "weight": weights,
            },
        )

    def _text(self, records: PatientRecords, flow: str, row: int) -> tuple[Tensor, bool]:
        """The record's point in the shared space, and whether there is one."""
        report = report_row(records, flow, row)
        if report >= 0:
            return records.text_pooled[report], True
        sentence = sentence_of(records, flow, row)
        return self.templates(sentence)[2], bool(sentence)

    def row_losses(self, kind: str, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Tensor:
        """(r,)"""
        return self.values(self.embed(kind, parameters, tensors), tensors)

    def embed(self, kind: str, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Aligned:
        """Both views side by side, (2r, ...)."""
        return self.call(parameters, "align", kind, torch.cat([tensors["first"], tensors["second"]]))

    def values(self, aligned: Aligned, tensors: Mapping[str, Tensor]) -> Tensor:
        """(r,): the loss of rows already embedded."""
        rows = len(tensors["weight"])
        positives = torch.cat([tensors["positive"], tensors["positive"]])  # (2r, 384)
        mean_token = aligned.tokens.mean(1)
        length = (mean_token.square().sum(1) + 1e-6).sqrt()
        central = self.contrast(aligned.embedding, positives)
        central = (central + self.contrast(F.normalize(mean_token, dim=-1), positives)) / 2
        central = central + TOKEN_SCALE / 2 * (length / self.token_norm).log().square()
        central = (central[:rows] + central[rows:]) / 2 * tensors["has_text"]  # (r,)
        return self.central_weight * central + self.invariance_weight * self.invariance(
            aligned.spatial[:rows], aligned.spatial[rows:]
        )
