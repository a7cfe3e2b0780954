"""The generator at work: one wish in, its samples out, marked synthetic in every format."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from medm2g.generator import Generator
from medm2g.sampling import CANDIDATES, AnyToAnyPipeline
from medm2g.storage import folder_digest
from protocol.study import FlowSpec, flow_spec
from protocol.synthetic import synthetic_dicom, synthetic_png
from server.service.card import Card, read_card
from server.service.desk import Job
from server.service.events import Progress, Sample, Seen
from server.service.limits import Limits
from server.service.upload import unit_image
from server.service.wish import Wish, check_wish


@dataclass(frozen=True)
class Facts:
    """What anybody with the token may know of the generator."""

    name: str
    """The folder's own name; its path stays at home."""
    digest: str
    image_size: int
    image_flows: tuple[str, ...]
    text_flow: str | None
    card: Card


class Studio:
    """Loads one generator folder and samples from it. Raises MedM2GError for a folder that cannot be read."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        generator = Generator.from_pretrained(folder)
        self._pipeline, self._limits = AnyToAnyPipeline(generator), limits
        self.facts = Facts(
            name=folder.resolve().name,
            digest=folder_digest(folder),
            image_size=generator.config.image_size,
            image_flows=generator.image_flows,
            text_flow=generator.text_flow,
            card=read_card(folder),
        )

    def check(self, wish: Wish) -> None:
        """Raises RequestRefused or TooLarge, before the wish is queued."""
        facts = self.facts
        check_wish(wish, limits=self._limits, image_flows=facts.image_flows, text_flow=facts.text_flow)

    def sample(self, wish: Wish, job: Job) -> int:
        """Make it, telling `job` of every step; returns the seed. Raises what ends a request early."""
        sources = self._sources(wish, job)
        seed = secrets.randbelow(2**31) if wish.seed is None else wish.seed

        def on_step(done: int, total: int) -> None:
            job.deliver(Progress(done, total))
            job.check()

        made = self._pipeline(
            list(wish.targets),
            prompts=[wish.prompt] if wish.prompt else None,
            sources=sources or None,
            count=wish.count,
            num_inference_steps=wish.num_inference_steps,
            guidance_scale=wish.guidance_scale,
            candidates=wish.candidates or min(CANDIDATES, self._limits.max_candidates),
            generator=torch.Generator().manual_seed(seed),
            on_step=on_step,
        )
        call = f"{self.facts.digest}/{uuid.uuid4()}"
        for flow in wish.targets:
            for index, sample in enumerate(made[flow]):
                job.deliver(_sample(self._spec(flow), index, sample, wish, call))
        return seed

    def _spec(self, flow: str) -> FlowSpec:
        """Along the tone curve that the generator learnt."""
        return flow_spec(flow, self._pipeline.generator.config.flow(flow).intensity)

    def _sources(self, wish: Wish, job: Job) -> dict[str, Tensor | list[str]]:
        sources: dict[str, Tensor | list[str]] = {}
        for given in wish.sources:
            job.check()
            if given.image is None:
                sources[given.flow] = [given.text or ""]
                continue
            unit = unit_image(given.image, self._spec(given.flow), size=self.facts.image_size, limits=self._limits)
            job.deliver(Seen(given.flow, _plain_png(unit)))
            sources[given.flow] = torch.from_numpy(unit)[None, None]
        return sources


def _sample(spec: FlowSpec, index: int, sample: Tensor | str, wish: Wish, call: str) -> Sample:
    if isinstance(sample, str):
        return Sample(spec.name, index, text=sample)
    unit = sample[0].float().cpu().numpy()  # (s, s)
    return Sample(
        spec.name,
        index,
        png=synthetic_png(unit) if "png" in wish.formats else None,
        dicom=synthetic_dicom(unit, spec, identity=f"{call}/{index}") if "dicom" in wish.formats else None,
    )


def _plain_png(unit: npt.NDArray[np.float32]) -> bytes:
    """An upload as the generator sees it. Not marked synthetic: it may be a patient's."""
    written = BytesIO()
    Image.fromarray(np.rint((unit + 1.0) * 127.5).astype(np.uint8)).save(written, format="PNG")
    return written.getvalue()
