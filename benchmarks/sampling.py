"""Images per second against the loop that diffusers' documentation writes: DDIM, 50 steps, guidance in every step.

    OMP_NUM_THREADS=1 python benchmarks/sampling.py [GENERATOR] [IMAGES] [SEEDS]

Both draw the same number of images (256) per flow from the same weights and the same held-out prompts, at guidance 2,
on one core; both are judged by the Fréchet distance of frozen image features, so that speed is not bought with
quality.
Ours is `AnyToAnyPipeline`: DPM-Solver++, 8 steps (the demo judges with 12), guidance below 0.7 of the timesteps,
batches of 32. In turns, flow by flow; medians over SEEDS (3). Prints a table.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from medm2g.generator import Generator
from medm2g.metrics.frechet import frechet_distance
from medm2g.metrics.image_features import ImageFeatures
from medm2g.sampling import AnyToAnyPipeline
from protocol.study import Study
from simulations.evaluation import EvaluationSettings
from simulations.generators import generator_folder
from simulations.held_out_phantoms import held_out_phantoms

DDIM_STEPS = 50
OUR_STEPS = 8
"""With so few ours is as near to the records as DDIM in fifty (T1), or nearer (docs/benchmarks.md)."""
DDIM_BATCH = 128


@torch.no_grad()
def by_ddim(generator: Generator, flow: str, prompts: list[str], scale: float, seed: int) -> Tensor:
    """(n, 1, s, s): noise, fifty guided steps, decode, grain; prompt and empty prompt side by side in one batch."""
    known = generator.scheduler.config
    solver = DDIMScheduler(
        num_train_timesteps=known.num_train_timesteps,
        beta_schedule=known.beta_schedule,
        prediction_type=known.prediction_type,
        timestep_spacing="trailing",
        clip_sample=False,
    )
    solver.set_timesteps(DDIM_STEPS)
    random = torch.Generator().manual_seed(seed)
    done = []
    for start in range(0, len(prompts), DDIM_BATCH):
        text = generator.encode_text(prompts[start : start + DDIM_BATCH])
        rows = len(text.tokens)
        tokens = torch.cat([generator.null_text.tokens.expand_as(text.tokens), text.tokens]).float()
        mask = torch.cat([generator.null_text.mask.expand_as(text.mask), text.mask]).float()
        latents = torch.randn((rows, *generator.latent_shape(flow)), generator=random)
        style = generator.styles[flow].expand(2 * rows, -1)
        for timestep in solver.timesteps:
            velocity = generator.unets[flow](
                torch.cat([latents, latents]),
                timestep,
                tokens,
                class_labels=style,
                encoder_attention_mask=mask,
                return_dict=False,
            )[0]
            plain, told = velocity.chunk(2)
            latents = solver.step(plain + scale * (told - plain), timestep, latents).prev_sample
        images = generator.decode_image(flow, latents)
        done.append(generator.grained(flow, images, torch.randn(images.shape, generator=random)))
    return torch.cat(done)


def main(folder: Path, images: int, seeds: int) -> None:
    """Every image flow, both ways."""
    torch.set_num_threads(1)
    study = Study.read(Path(__file__).resolve().parents[1] / "studies" / "demo.toml")
    held_out = held_out_phantoms(study, per_flow=images, size=64)
    generator, network = Generator.from_pretrained(folder), ImageFeatures.load()
    settings = EvaluationSettings()
    pipeline = AnyToAnyPipeline(generator)
    print(f"{'flow':10} {'DDIM-50':>22} {'ours':>22} {'faster':>8}")
    for flow, held in held_out.flows.items():
        truth, prompts = network.features(flow, held.images), list(held.prompts)
        found: dict[str, list[tuple[float, float]]] = {"ddim": [], "ours": []}
        for seed in range(seeds):
            for way in found:
                began = time.process_time()
                if way == "ddim":
                    made = by_ddim(generator, flow, prompts, settings.guidance_scale, seed)
                else:
                    drawn = pipeline(
                        [flow],
                        prompts=prompts,
                        num_inference_steps=OUR_STEPS,
                        guidance_scale=settings.guidance_scale,
                        generator=torch.Generator().manual_seed(seed),
                    )[flow]
                    assert isinstance(drawn, Tensor)
                    made = drawn
                seconds = time.process_time() - began
                features = network.features(flow, np.asarray(made.squeeze(1)))
                found[way].append((len(prompts) / seconds, frechet_distance(truth, features)))
        rate = {way: statistics.median(speed for speed, _ in runs) for way, runs in found.items()}
        distance = {way: statistics.median(far for _, far in runs) for way, runs in found.items()}
        print(
            f"{flow:10} {rate['ddim']:6.1f} images/s {distance['ddim']:5.2f} {rate['ours']:6.1f} images/s "
            f"{distance['ours']:5.2f} {rate['ours'] / rate['ddim']:7.1f}x",
            flush=True,
        )


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        generator_folder(given[0] if given else "shipped"),
        int(given[1]) if len(given) > 1 else 256,
        int(given[2]) if len(given) > 2 else 3,
    )
