"""The omniscient referee: judges a generator on records that no site holds. It exists in simulation only.

Per image flow: as many images are generated as are held out, each following one held-out record's report. The Fréchet
distance compares both sets on frozen image features; accuracy is how often a frozen classifier of findings sees, in the
generated image, the finding and side that the report asked for. The text flow writes reports from held-out images; the
labeller reads them. Every generator is judged from the same starting noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medm2g.generator import Generator
from medm2g.metrics.flow_network import SHIPPED
from medm2g.metrics.frechet import frechet_distance
from medm2g.metrics.image_features import ImageFeatures
from medm2g.metrics.referee import Referee
from medm2g.metrics.report_features import ReportFeatures
from medm2g.metrics.report_findings import finding_labels
from medm2g.sampling import GUIDANCE, AnyToAnyPipeline
from protocol.digests import digest_folder
from simulations.held_out import HeldOut, HeldOutFlow, HeldOutReport, Images
from simulations.summary import FlowQuality, Quality

FEWEST = 16
"""Fewer held-out records than this give no figure, only noise."""
_BATCH = 128


def fast_dtype() -> str:
    """bfloat16 where this processor multiplies matrices of it (AMX), else float32. Without AMX a processor that has
    bfloat16 instructions took 1.6 times as long with it (docs/LOG.md, 2026-11-27)."""
    return "bfloat16" if torch.cpu._is_amx_tile_supported() else "float32"


@dataclass(frozen=True)
class EvaluationSettings:
    """How generators are sampled for judgement; the same for every generator of a run."""

    sampling_seeds: tuple[int, ...] = (101, 202, 303)
    num_inference_steps: int = 12
    guidance_scale: float = GUIDANCE
    candidates: int = 1
    """Draws of each item, of which the best is judged (medm2g/candidates.py). One where many generators are compared:
    it says what a draw is worth, in a quarter of the time of `CANDIDATES`."""
    dtype: str = field(default_factory=fast_dtype)
    """Of the generator while it is judged, float32 or bfloat16. On the fastest cores that we had bfloat16 takes 0.6 of
    the time (that they have AMX is inferred); it moves a Fréchet distance by a fifth of its deviation over seeds."""

    def opened(self, folder: str | Path, **options: Any) -> Generator:
        """The generator of a folder, ready to be judged. options: of `Generator.from_pretrained`."""
        return self.prepared(Generator.from_pretrained(folder, **options))

    def prepared(self, generator: Generator) -> Generator:
        """The same generator, in place, in the precision in which it is judged."""
        return generator.to(getattr(torch, self.dtype))

    def as_record(self, folder: Path | None = None) -> dict[str, Any]:
        """For `summary.json`, with the digest of the frozen networks in the folder (the shipped ones by default): by
        other networks a distance is another."""
        return asdict(self) | {"networks": digest_folder(folder or SHIPPED)}


class OmniscientReferee:
    """Judges generators of one study against what was held out of it."""

    def __init__(
        self,
        held_out: HeldOut,
        settings: EvaluationSettings,
        folder: Path | None = None,
    ) -> None:
        """folder: of the frozen networks; the shipped ones by default."""
        self.held_out = held_out
        self.settings = settings
        folder = folder or SHIPPED
        self.referee = Referee.load(folder)
        self.image_features = ImageFeatures.load(folder)
        self._report_features = ReportFeatures.load(folder)

    def judge(
        self,
        generator: Generator,
        *,
        sampling_seeds: Sequence[int] | None = None,
        flows: Sequence[str] | None = None,
    ) -> Quality:
        """Figures of flows of the generator, one per sampling seed."""
        seeds = self.settings.sampling_seeds if sampling_seeds is None else tuple(sampling_seeds)
        wanted = generator.flows if flows is None else flows
        pipeline = AnyToAnyPipeline(generator)
        result = {}
        for flow in wanted:
            judge = self._judge_text if flow == generator.text_flow else self._judge_images
            result[flow] = judge(pipeline, flow, seeds)
        return Quality(result)

    def _judge_images(self, pipeline: AnyToAnyPipeline, flow: str, seeds: Sequence[int]) -> FlowQuality:
        held = self.held_out.flows.get(flow)
        if held is None or len(held.images) < FEWEST:
            return _too_few(self.held_out.missing.get(flow))
        truth = self._truth[flow]
        frechet, accuracy = [], []
        for seed in seeds:
            images = self.generate_images(pipeline, flow, held.prompts, seed=seed)
            frechet.append(frechet_distance(truth, self.image_features.features(flow, images)))
            if (right := self._share_right(self.referee.findings(flow, images), held)) is not None:
                accuracy.append(right)
        reason = "" if accuracy else "The findings of the held-out records are not known by side."
        return FlowQuality(tuple(frechet), tuple(accuracy), accuracy_reason=reason)

    def _judge_text(self, pipeline: AnyToAnyPipeline, flow: str, seeds: Sequence[int]) -> FlowQuality:
        reports = self.held_out.reports
        if len(reports) < FEWEST:
            return _too_few(self.held_out.missing.get(flow))
        frechet, accuracy = [], []
        for seed in seeds:
            written = self.write_reports(pipeline, flow, reports, seed=seed)
            frechet.append(self.report_distance(pipeline.generator, written))
            if (right := _share_of_reports_right(written, reports)) is not None:
                accuracy.append(right)
        reason = "" if accuracy else "The findings of the held-out records are not known by side."
        return FlowQuality(tuple(frechet), tuple(accuracy), accuracy_reason=reason)

    def report_distance(self, generator: Generator, written: Sequence[str]) -> float:
        """Fréchet distance between written reports and the held-out ones."""
        told, made = (
            self._report_features(generator.text_encoder(list(texts)).pooled.float())
            for texts in ([report.text for report in self.held_out.reports], written)
        )
        return frechet_distance(told, made)

    def held_out_accuracy(self) -> dict[str, float]:
        """What the referee reaches on the held-out originals themselves: the ceiling of the accuracies."""
        shares = {
            flow: self._share_right(self.referee.findings(flow, held.images), held)
            for flow, held in self.held_out.flows.items()
            if len(held.images) >= FEWEST
        }
        reports = self.held_out.reports
        shares["text"] = _share_of_reports_right([report.text for report in reports], reports)
        return {flow: share for flow, share in shares.items() if share is not None}

    def generate_images(self, pipeline: AnyToAnyPipeline, flow: str, prompts: Sequence[str], *, seed: int) -> Images:
        """One unit image (s, s) per prompt, from the noise of `seed`."""
        noise = torch.Generator().manual_seed(seed)
        parts = []
        for start in range(0, len(prompts), _BATCH):
            made = pipeline(
                [flow],
                prompts=list(prompts[start : start + _BATCH]),
                num_inference_steps=self.settings.num_inference_steps,
                guidance_scale=self.settings.guidance_scale,
                candidates=self.settings.candidates,
                generator=noise,
            )
            parts.append(made[flow].squeeze(1).float().numpy())
        return np.concatenate(parts)

    def write_reports(
        self, pipeline: AnyToAnyPipeline, flow: str, reports: Sequence[HeldOutReport], *, seed: int
    ) -> list[str]:
        """One report per held-out report, written from its source images; patients with equal sources together."""
        noise = torch.Generator().manual_seed(seed)
        written = [""] * len(reports)
        for sources in sorted({tuple(report.sources) for report in reports}):
            members = [index for index, report in enumerate(reports) if tuple(report.sources) == sources]
            for start in range(0, len(members), _BATCH):
                chunk = members[start : start + _BATCH]
                texts = pipeline(
                    [flow],
                    sources=_stacked(sources, [reports[index] for index in chunk]),
                    num_inference_steps=self.settings.num_inference_steps,
                    guidance_scale=self.settings.guidance_scale,
                    candidates=self.settings.candidates,
                    generator=noise,
                )[flow]
                for index, text in zip(chunk, texts, strict=True):
                    written[index] = text
        return written

    @cached_property
    def _truth(self) -> Mapping[str, np.ndarray]:
        return {flow: self.image_features.features(flow, held.images) for flow, held in self.held_out.flows.items()}

    def _share_right(self, answers: np.ndarray, held: HeldOutFlow) -> float | None:
        asked = [(index, label) for index, label in enumerate(held.labels) if label is not None]
        if not asked:
            return None
        names = self.referee.config.labels
        return float(np.mean([names[answers[index]] == label for index, label in asked]))


def _stacked(sources: Sequence[str], reports: Sequence[HeldOutReport]) -> dict[str, torch.Tensor]:
    return {flow: torch.as_tensor(np.stack([report.sources[flow] for report in reports]))[:, None] for flow in sources}


def _share_of_reports_right(texts: Sequence[str], reports: Sequence[HeldOutReport]) -> float | None:
    """A report is right when it names just the findings, with their sides, that its images can show."""
    asked = [(text, report) for text, report in zip(texts, reports, strict=True) if report.labels is not None]
    if not asked:
        return None
    return float(np.mean([finding_labels(text, visible=report.visible) == report.labels for text, report in asked]))


def _too_few(reason: str | None) -> FlowQuality:
    said = reason or f"Fewer than {FEWEST} held-out records."
    return FlowQuality(frechet_reason=said, accuracy_reason=said)
