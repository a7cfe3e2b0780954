"""What the report shows: each task of the paper on a handful of held-out records, originals above, generated below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from medm2g.generator import Generator
from medm2g.sampling import AnyToAnyPipeline
from simulations.evaluation import EvaluationSettings
from simulations.held_out import HeldOut, HeldOutPair, Images
from simulations.report import ReportPair, Strip, TaskSamples

COLUMNS = 8
#: (source flows, target flow) of the two translation tasks.
TRANSLATIONS = (("ct", "mri_t1"), ("mri_t1", "ct"))
CONTRASTS = (("mri_t1", "mri_t2"), ("mri_t1", "mri_flair"), ("mri_t2", "mri_t1"))


class SampleBook:
    """Draws the samples of one report from the generators before and after the federation."""

    def __init__(self, held_out: HeldOut, settings: EvaluationSettings, *, seed: int) -> None:
        self.held_out = held_out
        self.settings = settings
        self.seed = seed

    def tasks(self, after: Generator, *, before: Generator | None = None) -> list[TaskSamples]:
        """The five tasks, those for which something is held out; of `before` text to image only."""
        pipelines = {"before": AnyToAnyPipeline(before)} if before is not None else {}
        pipelines["after"] = AnyToAnyPipeline(after)
        tasks = [self._text_to_image(pipelines, flow) for flow in after.image_flows if flow in self.held_out.flows]
        tasks += [self._report_generation(pipelines["after"])] if self.held_out.reports else []
        tasks += self._translations(pipelines["after"], TRANSLATIONS, "MRI–CT translation")
        tasks += self._translations(pipelines["after"], CONTRASTS, "MRI contrast synthesis")
        return [*tasks, self._unconditional(pipelines["after"]), self._joint(pipelines["after"])]

    def _text_to_image(self, pipelines: Mapping[str, AnyToAnyPipeline], flow: str) -> TaskSamples:
        held = self.held_out.flows[flow]
        prompts = list(held.prompts[:COLUMNS])
        strips = [Strip("held-out", held.images[:COLUMNS])]
        for when, pipeline in pipelines.items():
            made = self._images(pipeline, [flow], prompts=prompts)[flow]
            strips.append(Strip(f"generated, {when}", made, from_prompt=True))
        first = prompts[0] if prompts else ""
        return TaskSamples(f"Text to image: {flow}", f"The first column was asked for with: “{first}”", strips)

    def _report_generation(self, pipeline: AnyToAnyPipeline) -> TaskSamples:
        pairs = []
        for report in self.held_out.reports[: COLUMNS // 2]:
            sources = {flow: torch.as_tensor(image)[None, None] for flow, image in report.sources.items()}
            text = self._call(pipeline, ["text"], sources=sources)["text"][0]
            pairs.append(ReportPair(next(iter(report.sources.values())), report.text, text))
        return TaskSamples("Report generation", "A report written from the image alone.", reports=pairs)

    def _translations(
        self, pipeline: AnyToAnyPipeline, routes: Sequence[tuple[str, str]], title: str
    ) -> list[TaskSamples]:
        tasks = []
        for source, target in routes:
            pairs = [pair for pair in self.held_out.pairs if {source, target} <= set(pair.images)][:COLUMNS]
            if pairs:
                tasks.append(self._translation(pipeline, source, target, pairs, title))
        return tasks

    def _translation(
        self, pipeline: AnyToAnyPipeline, source: str, target: str, pairs: Sequence[HeldOutPair], title: str
    ) -> TaskSamples:
        given = np.stack([pair.images[source] for pair in pairs])
        made = self._images(pipeline, [target], sources={source: torch.as_tensor(given)[:, None]})[target]
        truth = np.stack([pair.images[target] for pair in pairs])
        strips = [Strip(f"source, {source}", given), Strip(f"generated {target}", made), Strip(f"true {target}", truth)]
        return TaskSamples(f"{title}: {source} to {target}", strips=strips)

    def _unconditional(self, pipeline: AnyToAnyPipeline) -> TaskSamples:
        flows = pipeline.generator.image_flows
        made = {flow: self._images(pipeline, [flow], count=COLUMNS)[flow] for flow in flows}
        strips = [Strip(flow, made[flow], from_prompt=True) for flow in flows]
        return TaskSamples("Medical image generation, unconditional", "Nothing was asked for.", strips)

    def _joint(self, pipeline: AnyToAnyPipeline) -> TaskSamples:
        flows = [flow for flow in pipeline.generator.image_flows if flow.startswith("mri")]
        flows = flows or list(pipeline.generator.image_flows[:2])
        made = self._images(pipeline, flows, count=COLUMNS)
        note = "Each column was drawn together: one invented patient in several contrasts."
        return TaskSamples(
            "Medical image generation, joint", note, [Strip(flow, made[flow], from_prompt=True) for flow in flows]
        )

    def _images(self, pipeline: AnyToAnyPipeline, targets: list[str], **wishes: object) -> dict[str, Images]:
        made = self._call(pipeline, targets, **wishes)
        return {flow: made[flow].squeeze(1).float().numpy() for flow in targets}

    def _call(self, pipeline: AnyToAnyPipeline, targets: list[str], **wishes: object) -> dict:
        return pipeline(
            targets,
            num_inference_steps=self.settings.num_inference_steps,
            guidance_scale=self.settings.guidance_scale,
            candidates=self.settings.candidates,
            generator=torch.Generator().manual_seed(self.seed),
            **wishes,
        )
