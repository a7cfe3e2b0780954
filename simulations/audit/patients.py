"""Patients for an attack: every record of a folder, or of a simulated site, as the frozen networks see it.

The attacker is the strongest that a release allows: it holds the patient's own images and reports, and asks only
whether they were trained on. So the records come by the road that a hospital's come, latents and prompts included.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from client.records.store import RecordStore, has_store
from client.vault.dataset import PatientFeatures
from client.vault.feature_cache import FeatureCache
from client.vault.features import FeatureBuilder
from medm2g.generator import Generator
from medm2g.stages.draws import TemplateFeatures, report_row, sentence_of
from medm2g.stages.source import PatientRecords
from protocol.study import DEFAULT_FLOWS, FlowSpec, SiteSpec, StageSpec, Study
from simulations.errors import InputInvalid
from simulations.folder_store import folder_store


@dataclass(frozen=True, repr=False)
class FlowRecords:
    """Every record of one flow, and whose it is."""

    owners: npt.NDArray[np.int64]
    """(n,) numbers of patients."""
    latents: Tensor
    """(n, c, h, w)"""
    tokens: Tensor
    """(n, 64, 384): the prompt under which the record trains most often: its report, else its template."""
    mask: Tensor
    """(n, 64)"""
    images: Tensor | None
    """(n, 1, s, s) in [-1, 1]; None for the text flow."""
    texts: list[str]
    """(n,) reports, for the text flow; else empty."""


@dataclass(frozen=True, repr=False)
class Attacked:
    """Patients of one kind, members or others."""

    patients: int
    flows: dict[str, FlowRecords]

    @classmethod
    def together(cls, parts: list[Attacked]) -> Attacked:
        """Patients of several sources as one group, numbered on."""
        first = [sum(part.patients for part in parts[:place]) for place in range(len(parts))]
        names = {name for part in parts for name in part.flows}
        return cls(
            sum(part.patients for part in parts),
            {
                name: _joined(
                    [(start, part.flows[name]) for start, part in zip(first, parts, strict=True) if name in part.flows]
                )
                for name in sorted(names)
            },
        )


def read_patients(
    source: Path, generator: Generator, *, most: int, flows: tuple[FlowSpec, ...] = DEFAULT_FLOWS
) -> Attacked:
    """At most `most` patients of a folder of records, or of a simulated site's folder. Raises InputInvalid.

    Which of them is fixed by their pseudonyms, which are keyed hashes, so no order in the folder decides.
    """
    with _opened(source, generator, flows) as (store, features, names):
        chosen = features.pseudonyms()[:most]
        texts = {name: _texts(store, name, chosen) for name in names}
        everything = [features.patient(pseudonym) for pseudonym in chosen]
    templates = TemplateFeatures(generator)
    gathered = {name: _gathered(name, everything, templates, texts[name], generator) for name in names}
    found = {name: records for name, records in gathered.items() if records is not None}
    if not found:
        raise InputInvalid(f"{source.name} holds no record of the generator's flows: see `fedm2g site ingest`.")
    return Attacked(len(chosen), found)


@contextmanager
def patient_source(
    source: Path, generator: Generator, *, flows: tuple[FlowSpec, ...] = DEFAULT_FLOWS
) -> Iterator[tuple[PatientFeatures, list[str]]]:
    """The patients of a folder as a stage's loss wants them, and their pseudonyms; while the block lasts."""
    with _opened(source, generator, flows) as (_, features, _):
        yield features, features.pseudonyms()


@contextmanager
def _opened(
    source: Path, generator: Generator, flows: tuple[FlowSpec, ...]
) -> Iterator[tuple[RecordStore, PatientFeatures, tuple[str, ...]]]:
    study = _study_of(generator, flows)
    names = tuple(flow.name for flow in study.flows)
    with _store(source, generator.config.image_size) as store, tempfile.TemporaryDirectory() as temporary:
        cache = FeatureCache(Path(temporary), os.urandom(32))
        yield (
            store,
            PatientFeatures(
                store,
                generator,
                study,
                flows=names,
                features=FeatureBuilder(store, generator, generator_digest="audit", cache=cache),
                with_images=True,
                with_aligned=False,
            ),
            names,
        )


@contextmanager
def _store(source: Path, size: int) -> Iterator[RecordStore]:
    if not source.is_dir():
        raise InputInvalid(f"There is no folder {source}: give a folder of records, or a simulated site's.")
    if has_store(source):
        with closing(RecordStore.open(source)) as store:
            yield store
    else:
        with folder_store(source, size=size) as store:
            yield store


def _joined(parts: list[tuple[int, FlowRecords]]) -> FlowRecords:
    images = [records.images for _, records in parts if records.images is not None]
    return FlowRecords(
        owners=np.concatenate([start + records.owners for start, records in parts]),
        latents=torch.cat([records.latents for _, records in parts]),
        tokens=torch.cat([records.tokens for _, records in parts]),
        mask=torch.cat([records.mask for _, records in parts]),
        images=torch.cat(images) if images else None,
        texts=[text for _, records in parts for text in records.texts],
    )


def _study_of(generator: Generator, flows: tuple[FlowSpec, ...]) -> Study:
    """Only the flows' tone curves matter here."""
    known = tuple(flow for flow in flows if flow.name in generator.flows)
    if not known:
        raise InputInvalid("The generator has none of these flows: give records of a flow that it makes.")
    site = SiteSpec(name="attack", flows=tuple(flow.name for flow in known), declared_patients=1)
    return Study(name="attack", flows=known, sites=(site,), stages=(StageSpec(name="diffuse"),))


def _texts(store: RecordStore, flow: str, pseudonyms: list[str]) -> list[list[str]]:
    """Reports in the order of `PatientRecords.text_tokens`, by patient; the text flow alone has any."""
    if flow != "text":
        return [[] for _ in pseudonyms]
    return [[store.text(row.record_id) for row in store.records(who) if row.flow == flow] for who in pseudonyms]


def _gathered(
    flow: str,
    everything: list[PatientRecords],
    templates: TemplateFeatures,
    texts: list[list[str]],
    generator: Generator,
) -> FlowRecords | None:
    owners: list[int] = []
    latents, tokens, masks, images = [], [], [], []
    for number, records in enumerate(everything):
        for row in range(records.count(flow)):
            report = -1 if flow == generator.text_flow else report_row(records, flow, row)
            sentence = sentence_of(records, flow, row)
            told = (records.text_tokens[report], records.text_mask[report]) if report >= 0 else templates(sentence)[:2]
            owners.append(number)
            latents.append(records.latents[flow][row].float())
            tokens.append(told[0].half())
            masks.append(told[1].float())
            if flow in records.images:
                images.append(records.images[flow][row].float())
    if not owners:
        return None
    return FlowRecords(
        owners=np.array(owners),
        latents=torch.stack(latents),
        tokens=torch.stack(tokens),
        mask=torch.stack(masks),
        images=torch.stack(images) if images else None,
        texts=[text for own in texts for text in own],
    )
