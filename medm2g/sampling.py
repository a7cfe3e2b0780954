"""Any to any: from prompts and clean sources of some flows to samples of others, jointly (DESIGN.md §4.5).

A clean source speaks twice: its aligned tokens join the prompt context (meaning), and its environment tokens at t=0
guide the targets (place). Several targets are denoised in lock-step and guide each other both ways. One model so does
report -> image, image -> report, image -> image, and joint or unconditional generation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from medm2g.candidates import BestDraws, Made
from medm2g.errors import InputInvalid
from medm2g.generator import Generator
from medm2g.plan import Plan, Random, Sources, make_plan, one_generator_each


@dataclass(frozen=True)
class Conditions:
    """All that the denoisers are told, item by item."""

    tokens: Tensor
    """(n, m + 4 s, 384): the prompt, then each clean image source's aligned tokens."""
    mask: Tensor
    """(n, m + 4 s), 1 = attend."""
    null_tokens: Tensor
    """(n, 2, 384): the empty prompt, and nothing beside it. It has a pass of its own, whose attentions look at two keys
    and not at as many as the longest prompt has: some 12 % of the time of sampling (docs/LOG.md, 2026-11-28)."""
    null_mask: Tensor
    grids: dict[str, Tensor]
    """Environment tokens (n, 16, 96) of each clean source at t=0."""
    informative: bool
    """False when there is neither prompt nor source, so that guidance has nothing to sharpen."""

    def rows(self, part: slice) -> Conditions:
        """These items only."""
        return Conditions(
            self.tokens[part],
            self.mask[part],
            self.null_tokens[part],
            self.null_mask[part],
            {flow: grid[part] for flow, grid in self.grids.items()},
            self.informative,
        )


GUIDANCE = 1.5
"""By how much an image's conditions are sharpened where nobody says. Validation phantoms, 12 steps, one draw, Fréchet
distance / findings right at 1, 1.5 and 2 (docs/LOG.md, 2026-12-01): X-ray 3.6 / .90, 4.0 / .93, 4.7 / .97; CT
3.1 / .78, 3.2 / .82, 3.9 / .85; T1 3.0 / .73, 3.3 / .84, 4.6 / .90; T2 4.4 / .85, 4.2 / .93, 4.5 / .96; FLAIR
4.4 / .87, 3.7 / .95, 3.7 / .96.
A report follows its conditions as they are: what an image says is precise, and sharpening it takes variety (Fréchet
.145 instead of .087) for .01 of accuracy (.91 instead of .90), in two passes instead of one."""
GUIDED_PART = 0.7
"""Guidance acts at timesteps below this part of all: at the noisiest ones it harms variety and adds nothing to meaning
(arXiv 2404.07724). Validation phantoms, 12 steps at scale 2: docs/LOG.md, 2026-11-25."""

CANDIDATES = 4
"""Draws of a wish, of which the one is kept that says best what was asked, where quality counts for more than time.
Validation phantoms, findings right of one / two / four: CT .82, .92, .90; T1 .84, .90, .95; FLAIR .95, .96, .97;
reports .93, .96, .97; Fréchet distances of CT 3.2, 3.4, 3.3, T1 3.3, 3.7, 3.6, FLAIR 3.7, 4.0, 3.9 (docs/LOG.md,
2026-12-01)."""


PATHWAYS = ("alignment", "cross_guidance")
"""The two ways by which one flow speaks to another: aligned tokens in the prompt, and environment tokens."""


class AnyToAnyPipeline:
    """Samples from a generator. Components are never modified; one pipeline may serve many calls."""

    def __init__(
        self,
        generator: Generator,
        scheduler: str = "dpmsolver++",
        *,
        batch_size: int = 64,
        without: Collection[str] = (),
        grain: bool = True,
    ) -> None:
        """scheduler: `dpmsolver++` (arXiv 2211.01095, second order) or `ddim`. batch_size bounds memory; 48 or 96 items
        take longer each than 64 do (`tiny`, one core). without: pathways between flows (of `PATHWAYS`) that stay
        silent, beside those that the generator was trained without, to see what each of them carries. grain: whether
        images get the noise that their codec leaves out (grain.py): right for the look of records, wrong for one
        patient's own."""
        if scheduler not in ("dpmsolver++", "ddim"):
            raise InputInvalid(f"`scheduler` is {scheduler!r}: choose dpmsolver++ or ddim.")
        if unknown := sorted(set(without) - set(PATHWAYS)):
            raise InputInvalid(f"There is no pathway {unknown[0]!r} between flows: choose from {', '.join(PATHWAYS)}.")
        self.generator, self.scheduler, self.batch_size = generator, scheduler, batch_size
        self.grain = grain
        silent = {*without, *generator.config.without}
        self.aligned, self.guided = ("alignment" not in silent), ("cross_guidance" not in silent)

    @torch.no_grad()
    def __call__(
        self,
        targets: Sequence[str],
        prompts: Sequence[str] | None = None,
        sources: Sources | None = None,
        *,
        count: int = 1,
        num_inference_steps: int = 20,
        guidance_scale: float = GUIDANCE,
        candidates: int = 1,
        generator: Random = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Made:
        """Images (n, 1, s, s) in [-1, 1], or n strings for the text flow, by target.

        n = count times the number of prompts or source items, the draws of one item side by side. guidance_scale 1
        follows the conditions as they are and costs one pass per step; more sharpens those of images and costs two, in
        the steps that it acts in (`GUIDED_PART`).
        candidates: so many draws of each item, at as many times the cost, of which the one is kept that says best what
        was asked (candidates.py); the first is what a single draw would have been. `CANDIDATES` is a good number.
        generator: one for the whole call, or one per drawn item, whose sample then depends on nothing else.
        on_step(done, total) is called after each denoising step.
        """
        # 1. Check, 2. and 3. encode what is given
        plan = self.check_inputs(targets, prompts, sources, count, num_inference_steps, guidance_scale, candidates)
        conditions = self.encode_sources(plan, *self.encode_prompts(plan))
        randoms = one_generator_each(generator, plan.items)

        def draw(on_step: Callable[[int, int], None] | None) -> Made:
            # 4. Noise for every target
            latents = self.prepare_latents(plan, randoms)
            # 5. Denoise in lock-step
            latents = self.denoise(latents, conditions, num_inference_steps, guidance_scale, on_step)
            # 6. Decode
            return self.decode(latents, randoms)

        best = BestDraws(self.generator, plan) if candidates > 1 and self.aligned else None
        if best is None or not best.can_tell:
            return draw(on_step)
        for number in range(candidates):
            best.take(draw(None if on_step is None else _part_of(on_step, number, candidates)))
        return best.made

    def check_inputs(
        self,
        targets: Sequence[str],
        prompts: Sequence[str] | None = None,
        sources: Sources | None = None,
        count: int = 1,
        num_inference_steps: int = 20,
        guidance_scale: float = GUIDANCE,
        candidates: int = 1,
    ) -> Plan:
        """Step 1. Raises InputInvalid; no message repeats a prompt or a pixel."""
        if min(count, num_inference_steps, candidates) < 1 or guidance_scale < 1:
            raise InputInvalid(
                "`count`, `num_inference_steps` and `candidates` must be 1 or more, and `guidance_scale` at least 1."
            )
        return make_plan(self.generator.config, targets, prompts, sources, count=count)

    def encode_prompts(self, plan: Plan) -> tuple[Tensor, Tensor]:
        """Step 2: text tokens (n, m, 384) and their mask (n, m), m the longest prompt, at most 64."""
        generator = self.generator
        features = generator.encode_text(list(plan.prompts))
        longest = int(features.mask.sum(1).max())  # what is masked for all adds nothing but time
        tokens, mask = features.tokens[:, :longest], features.mask[:, :longest]
        return tokens.to(generator.dtype), mask.to(generator.dtype)

    def encode_sources(self, plan: Plan, tokens: Tensor, mask: Tensor) -> Conditions:
        """Step 3: aligned tokens of the image sources into the context, environments of all sources at t=0."""
        generator = self.generator
        null = generator.null_text
        length = int(null.mask.sum())
        null_tokens = null.tokens[:, :length].to(tokens).expand(plan.items, -1, -1)
        null_mask = null.mask[:, :length].to(mask).expand(plan.items, -1)
        grids: dict[str, Tensor] = {}
        for flow, images in plan.images.items():
            images = images.to(generator.device, generator.dtype)
            if self.aligned:
                aligned = torch.cat([generator.align(flow, part).tokens for part in images.split(self.batch_size)])
                tokens = torch.cat([tokens, aligned], 1)
                mask = F.pad(mask, (0, aligned.shape[1]), value=1.0)
            if self.guided:
                grids[flow] = self._clean_environment(flow, generator.encode_image(flow, images))
        if plan.reports is not None and generator.text_flow is not None and self.guided:
            latents = generator.encode_report(generator.encode_text(plan.reports))
            grids[generator.text_flow] = self._clean_environment(generator.text_flow, latents)
        informative = bool(grids) or any(plan.prompts) or (bool(plan.images) and self.aligned)
        return Conditions(tokens, mask, null_tokens, null_mask, grids, informative)

    def _clean_environment(self, flow: str, latents: Tensor) -> Tensor:
        parts = [self._environment(flow, part, 0) for part in latents.split(self.batch_size)]
        return torch.cat(parts)

    def _environment(self, flow: str, latents: Tensor, timestep: int | Tensor) -> Tensor:
        timesteps = torch.full((len(latents),), int(timestep), device=latents.device)
        return self.generator.environment(flow, latents, timesteps)[0]

    def prepare_latents(self, plan: Plan, randoms: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """Step 4: noise (n, c, h, w) per target. Each item draws from a generator of its own, for every flow in the
        configuration's order: its noise depends neither on the batch nor on which other flows are targets."""
        shapes = {flow: self.generator.latent_shape(flow) for flow in self.generator.flows}
        device, dtype = self.generator.device, self.generator.dtype
        return {flow: rows.to(device, dtype) for flow, rows in _noise(shapes, plan.targets, randoms).items()}

    def denoise(
        self,
        latents: dict[str, Tensor],
        conditions: Conditions,
        num_inference_steps: int,
        guidance_scale: float,
        on_step: Callable[[int, int], None] | None = None,
    ) -> dict[str, Tensor]:
        """Step 5: noise (n, c, h, w) per target to latents per target."""
        items = len(next(iter(latents.values())))
        starts = range(0, items, self.batch_size)
        done: dict[str, list[Tensor]] = {flow: [] for flow in latents}
        for index, start in enumerate(starts):
            part = slice(start, start + self.batch_size)
            batch, rows = {flow: noise[part] for flow, noise in latents.items()}, conditions.rows(part)
            solvers = {flow: self._solver(num_inference_steps) for flow in latents}  # each keeps its own history
            for step, timestep in enumerate(next(iter(solvers.values())).timesteps):
                guided = int(timestep) < GUIDED_PART * self.generator.config.num_train_timesteps
                velocities = self._velocities(batch, rows, timestep, guidance_scale if guided else 1.0)
                for flow, velocity in velocities.items():
                    batch[flow] = solvers[flow].step(velocity, timestep, batch[flow]).prev_sample
                if on_step is not None:
                    on_step(index * num_inference_steps + step + 1, len(starts) * num_inference_steps)
            for flow, finished in batch.items():
                done[flow].append(finished)
        return {flow: torch.cat(parts) for flow, parts in done.items()}

    def _velocities(
        self, latents: dict[str, Tensor], conditions: Conditions, timestep: Tensor, guidance_scale: float
    ) -> dict[str, Tensor]:
        """One step of every target: all listen to the same moment, none to itself."""
        together = len(latents) > 1 and self.guided
        moments = {flow: self._environment(flow, value, timestep) for flow, value in latents.items() if together}
        velocities: dict[str, Tensor] = {}
        for flow, value in latents.items():
            grids = conditions.grids | {other: moments[other] for other in moments if other != flow}
            velocities[flow] = self._velocity(flow, value, timestep, conditions, grids, guidance_scale)
        return velocities

    def _velocity(
        self,
        flow: str,
        latents: Tensor,
        timestep: Tensor,
        conditions: Conditions,
        grids: dict[str, Tensor],
        guidance_scale: float,
    ) -> Tensor:
        """Classifier-free guidance over prompt and clean sources; flows being drawn beside this one stay in both
        passes, since without them there would be no joint sample to speak of."""
        names = tuple(grids)
        guidance = torch.stack(list(grids.values()), 1) if names else None  # (b, s, 16, 96)
        timesteps = torch.full((len(latents),), int(timestep), device=latents.device)

        def told(tokens: Tensor, mask: Tensor, present: list[float]) -> Tensor:
            heard = latents.new_tensor(present).expand(len(latents), -1) if names else None  # (b, s)
            return self.generator.denoise(flow, latents, timesteps, tokens, mask, guidance, heard, names)

        conditional = told(conditions.tokens, conditions.mask, [1.0] * len(names))
        if guidance_scale == 1 or not conditions.informative or flow == self.generator.text_flow:
            return conditional
        beside = [0.0 if name in conditions.grids else 1.0 for name in names]
        unconditional = told(conditions.null_tokens, conditions.null_mask, beside)
        return unconditional + guidance_scale * (conditional - unconditional)

    def _solver(self, num_inference_steps: int) -> DDIMScheduler | DPMSolverMultistepScheduler:
        known = self.generator.scheduler.config
        shared = {
            "num_train_timesteps": known.num_train_timesteps,
            "beta_schedule": known.beta_schedule,
            "prediction_type": known.prediction_type,
            "timestep_spacing": "trailing",
        }
        if self.scheduler == "ddim":
            solver: Any = DDIMScheduler(**shared, clip_sample=False, set_alpha_to_one=True)
        else:  # the clipped log-SNR is what the cosine schedule needs at its noisy end (diffusers' documentation)
            solver = DPMSolverMultistepScheduler(**shared, lambda_min_clipped=-5.1)
        solver.set_timesteps(num_inference_steps)
        return solver

    def decode(self, latents: dict[str, Tensor], randoms: Sequence[torch.Generator]) -> Made:
        """Step 6: images in [-1, 1], and strings for the text flow. Each item's grain is its own generator's, drawn as
        the noise of latents is."""
        generator, side = self.generator, self.generator.config.image_size
        shapes = dict.fromkeys(generator.image_flows, (1, side, side))
        white = _noise(shapes, latents, randoms) if self.grain else {}
        made: Made = {}
        for flow, value in latents.items():
            if flow == generator.text_flow:
                made[flow] = generator.decode_text(value)
                continue
            images = generator.decode_image(flow, value)
            made[flow] = generator.grained(flow, images, white[flow].to(images)) if self.grain else images
        return made


def _part_of(on_step: Callable[[int, int], None], draw: int, draws: int) -> Callable[[int, int], None]:
    """One draw's steps, told as steps of all draws."""
    return lambda done, total: on_step(draw * total + done, draws * total)


def _noise(
    shapes: Mapping[str, tuple[int, ...]], wanted: Collection[str], randoms: Sequence[torch.Generator]
) -> dict[str, Tensor]:
    """(n, *shape) of each wanted flow: every item's generator draws for all of `shapes` in order, wanted or not."""
    noise: dict[str, list[Tensor]] = {flow: [] for flow in wanted if flow in shapes}
    for random in randoms:
        for flow, shape in shapes.items():
            drawn = torch.randn(shape, generator=random)
            if flow in noise:
                noise[flow].append(drawn)
    return {flow: torch.stack(rows) for flow, rows in noise.items()}
