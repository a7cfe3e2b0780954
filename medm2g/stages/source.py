"""What a stage asks of whoever holds the patients, and what it hands to whoever differentiates.

`Term` has the structure that the mechanism expects; this room does not import that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Term:
    """One summand of one patient's loss: everything random is drawn, everything frozen is computed."""

    kind: str
    """Which loss: terms of one kind have tensors of equal names and shapes, whoever they belong to."""
    tensors: dict[str, Tensor]
    """No patient axis."""


@dataclass(frozen=True, repr=False)
class PatientRecords:
    """Everything of one patient, ready for the networks. Prints nothing about the patient."""

    images: Mapping[str, Tensor]
    """By image flow: (n, 1, s, s) in [-1, 1], float16. A flow without records is left out."""
    latents: Mapping[str, Tensor]
    """By flow: (n, c, h, w), scaled. Image flows row by row as `images`; the text flow row by row as `text_tokens`."""
    text_tokens: Tensor
    """(m, 64, 384) of the patient's m reports; m may be 0."""
    text_mask: Tensor
    """(m, 64), 1 = a token is there."""
    text_ids: Tensor
    """(m, 64) int64, the words of the reports in the text encoder's vocabulary."""
    text_pooled: Tensor
    """(m, 384), unit norm."""
    report_of: Mapping[str, Tensor]
    """By image flow: (n,) int64, each record's row among the reports, or -1 for none."""
    templates: Mapping[str, tuple[str, ...]]
    """By flow: each record's public sentence (medm2g.templates); empty where nothing is known."""
    imaging_study: Mapping[str, Tensor] = field(default_factory=dict)
    """By flow: (n,) int64, equal for records of one examination, the text flow's too. Optional: without it all of the
    patient's records go together."""
    aligned: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """By image flow: cached embeddings (n, 384) and aligned tokens (n, 4, 384). Optional; only while alignment is
    frozen and unchanged since."""

    def __repr__(self) -> str:
        return "PatientRecords(hidden)"

    def count(self, flow: str) -> int:
        """Records of that flow."""
        return len(self.latents[flow]) if flow in self.latents else 0


class PatientSource(Protocol):
    """Whoever holds the patients."""

    def patient(self, pseudonym: str) -> PatientRecords:
        """All records of that patient."""


class StageLoss(Protocol):
    """What every stage offers; structurally the mechanism's `PatientLoss`."""

    def draw(self, pseudonym: str, *, generator: object) -> list[Term]:
        """The patient's terms; all randomness is taken from `generator`."""

    def loss(self, kind: str, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        """Scalar loss of one term."""

    def touched(self, kind: str) -> tuple[str, ...]:
        """Qualified names of the parameters that terms of this kind train."""
