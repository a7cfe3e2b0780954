"""Public data as arrays, and the same as patients that a stage can draw from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from medm2g.errors import InputInvalid
from medm2g.generator import Generator
from medm2g.pretrain.machine import Machine
from medm2g.stages.source import PatientRecords
from medm2g.text_encoder import TextFeatures

Integers = npt.NDArray[np.integer]
T = TypeVar("T")
_AT_ONCE = 128  # images or texts per pass: bounds memory, changes nothing else


@dataclass(frozen=True)
class PublicData:
    """Public images and texts, paired by patient and by examination."""

    images: Mapping[str, npt.NDArray[np.floating]]
    """By image flow: (n, 1, s, s) in [-1, 1], float16 by preference."""
    patients: Mapping[str, Integers]
    """By flow, the text flow's too: (n,) number of each record's patient."""
    texts: Sequence[str] = ()
    """Reports of the text flow."""
    report_of: Mapping[str, Integers] = field(default_factory=dict)
    """By image flow: (n,) index of each image's report among `texts`, or -1."""
    templates: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By flow: each record's public sentence (medm2g.templates)."""
    examinations: Mapping[str, Integers] = field(default_factory=dict)
    """By flow, the text flow's too: (n,) equal for records of one examination; optional."""
    hospitals: Mapping[int, int] = field(default_factory=dict)
    """Number of each patient's public hospital, from 0; whoever is left out belongs to hospital 0."""
    text_flow: str = "text"

    def __post_init__(self) -> None:
        lengths = {flow: len(images) for flow, images in self.images.items()}
        if self.texts:
            lengths[self.text_flow] = len(self.texts)
        for flow, length in lengths.items():
            if len(self.patients.get(flow, ())) != length:
                raise InputInvalid(f"`patients` must name the patient of each of the {length} records of {flow}.")
        for name in ("report_of", "templates", "examinations"):
            for flow, values in getattr(self, name).items():
                if flow not in lengths or len(values) != lengths[flow]:
                    raise InputInvalid(f"`{name}` of {flow} must have one value for each of its records.")

    def everyone(self) -> npt.NDArray[np.int64]:
        """Every patient's number, sorted."""
        parts = [np.asarray(numbers, dtype=np.int64) for numbers in self.patients.values()]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)

    def split(self, share: float, *, seed: int) -> tuple[frozenset[int], frozenset[int]]:
        """Patients for training, and at least one other for validation."""
        people = np.random.default_rng(seed).permutation(self.everyone())
        if len(people) < 2:
            raise InputInvalid("Pre-training needs at least two public patients: one of them validates.")
        held = max(1, min(len(people) - 1, round(share * len(people))))
        return frozenset(people[held:].tolist()), frozenset(people[:held].tolist())

    def rows(self, flow: str, people: frozenset[int]) -> npt.NDArray[np.int64]:
        """Rows of a flow's records that belong to these patients."""
        return np.flatnonzero(np.isin(self.patients.get(flow, np.zeros(0, dtype=np.int64)), list(people)))


class PublicPatients:
    """A `PatientSource` over public data: features are filled in as the phases that make them finish.

    They are computed on the machine's device and kept on the processor, where batches are drawn.
    """

    def __init__(self, generator: Generator, data: PublicData, machine: Machine | None = None) -> None:
        self.generator, self.data, self.machine = generator, data, machine or Machine()
        self.images = {flow: torch.from_numpy(np.ascontiguousarray(data.images[flow])) for flow in data.images}
        self.text = self._computed(lambda: TextFeatures(*(p.cpu() for p in generator.encode_text(list(data.texts)))))
        self.sentences = sorted({sentence for own in data.templates.values() for sentence in own})
        self.latents: dict[str, Tensor] = {}
        self.aligned: dict[str, tuple[Tensor, Tensor]] = {}
        self._rows: dict[str, dict[int, Tensor]] = {}
        for flow, numbers in data.patients.items():
            order = np.argsort(numbers, kind="stable")
            people, starts = np.unique(np.asarray(numbers)[order], return_index=True)
            parts = np.split(order, starts[1:])
            self._rows[flow] = {int(who): torch.from_numpy(part) for who, part in zip(people, parts, strict=True)}

    @property
    def last_hospital(self) -> int:
        """Highest number of a public hospital."""
        return max(self.data.hospitals.values(), default=0)

    def hospital(self, pseudonym: str) -> int:
        """Number of the public hospital of that patient."""
        return self.data.hospitals.get(int(pseudonym), 0)

    def having(self, flow: str, people: frozenset[int]) -> list[str]:
        """Those of these patients who have a record of that flow."""
        return [str(who) for who in sorted(people) if who in self._rows.get(flow, {})]

    def encode(self) -> None:
        """Fill the latents, once the codecs are final."""
        self.latents = self._computed(self._latents)

    def align(self) -> None:
        """Fill the aligned embeddings and tokens, once the alignment is final."""
        self.aligned = self._computed(
            lambda: {flow: self._aligned(flow, images) for flow, images in self.images.items()}
        )

    def _computed(self, work: Callable[[], T]) -> T:
        with torch.no_grad():
            return self.machine.run(lambda _: work(), moves=[self.generator], trains=[])

    def _latents(self) -> dict[str, Tensor]:
        generator, found = self.generator, {}
        for flow, images in self.images.items():
            parts = [generator.encode_image(flow, part).cpu() for part in self._moved(images)]
            found[flow] = torch.cat(parts)
        if generator.text_flow is not None and len(self.data.texts):
            features = zip(*(part.split(_AT_ONCE) for part in self.text), strict=True)
            texts = [TextFeatures(*(part.to(generator.device) for part in parts)) for parts in features]
            found[generator.text_flow] = torch.cat([generator.encode_report(part).cpu() for part in texts])
        return found

    def _aligned(self, flow: str, images: Tensor) -> tuple[Tensor, Tensor]:
        found = [self.generator.align(flow, part) for part in self._moved(images)]
        embeddings = torch.cat([part.embedding.cpu() for part in found])
        return embeddings, torch.cat([part.tokens.half().cpu() for part in found])

    def _moved(self, images: Tensor) -> Iterator[Tensor]:
        return (part.float().to(self.generator.device) for part in images.split(_AT_ONCE))

    def patient(self, pseudonym: str) -> PatientRecords:
        """All records of the patient of that number."""
        data, who = self.data, int(pseudonym)
        rows = {flow: own[who] for flow, own in self._rows.items() if who in own}
        reports = rows.get(data.text_flow, torch.zeros(0, dtype=torch.long))
        place = {int(row): index for index, row in enumerate(reports)}
        images = {flow: own for flow, own in rows.items() if flow in self.images}
        return PatientRecords(
            images={flow: self.images[flow][own] for flow, own in images.items()},
            latents={flow: self._latents_of(flow, own) for flow, own in rows.items()},
            text_tokens=self.text.tokens[reports],
            text_mask=self.text.mask[reports],
            text_ids=self.text.ids[reports],
            text_pooled=self.text.pooled[reports],
            report_of={
                flow: torch.tensor([place.get(int(data.report_of[flow][row]), -1) for row in own])
                for flow, own in images.items()
                if flow in data.report_of
            },
            templates={
                flow: tuple(data.templates[flow][row] for row in own)
                for flow, own in rows.items()
                if flow in data.templates
            },
            imaging_study={
                flow: torch.as_tensor(data.examinations[flow][own.numpy()])
                for flow, own in rows.items()
                if flow in data.examinations
            },
            aligned={
                flow: (self.aligned[flow][0][own], self.aligned[flow][1][own])
                for flow, own in images.items()
                if flow in self.aligned
            },
        )

    def _latents_of(self, flow: str, rows: Tensor) -> Tensor:
        """Latents, or before there are any (align does not read them) an empty stand-in of the right length."""
        return self.latents[flow][rows] if flow in self.latents else torch.empty(len(rows), 0)
