"""The private training step against the same step without privacy, and against Opacus, on one model and one batch.

    python benchmarks/private_step.py [ROUNDS]

A denoiser of 3.9 million parameters, all of them private, on latents of 4 x 32 x 32 with 16 context tokens: 16 patients
with one draw each (K = 1), and 8 patients with eight (K = 8). Then one flow of the `tiny` generator with the subsets
that studies train. A step is: draw, gradients, clip, noise, Adam. Every mode runs in a process of its own, all modes
once per round, medians of ROUNDS (5); memory is the peak above the built model. Prints a table.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor, nn
from torch.func import functional_call

THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
STEPS = {"unet": 2, "unet, K = 8": 1}
"""Timed in each process, after one that is not; 15 of the small ones."""
SETTINGS: Mapping[str, tuple[int, int, tuple[str, ...]]] = {
    # patients, draws of each, modes: an engine and its chunk size, or what is compared with it
    "unet": (16, 1, ("public", "batch/16", "batch/8", "vmap/16", "loop/1", "opacus", "ghost")),
    "unet, K = 8": (8, 8, ("public", "batch/8", "batch/2", "batch/1", "opacus")),
    "tiny, all": (16, 1, ("public", "batch/16", "vmap/16")),
    "tiny, attention": (16, 1, ("public", "batch/16", "vmap/16")),
    "tiny, norms": (16, 1, ("public", "batch/16", "vmap/16")),
    "tiny, style": (16, 1, ("public", "batch/16", "vmap/16")),
}


class UNetLoss:
    """Velocity prediction by one UNet; a patient has K rows."""

    def __init__(self, draws: int) -> None:
        from diffusers import UNet2DConditionModel

        self.draws = draws
        self.network: nn.Module = UNet2DConditionModel(
            sample_size=32,
            in_channels=4,
            out_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(64, 128),
            layers_per_block=1,
            cross_attention_dim=64,
            attention_head_dim=4,
            norm_num_groups=8,
        ).eval()
        self.names = [name for name, _ in self.network.named_parameters()]

    def draw(self, pseudonym: str, *, generator: torch.Generator) -> list[Any]:
        """One term of K rows."""
        from privacy.engines import Term

        tensors = {
            "noisy": torch.randn(self.draws, 4, 32, 32, generator=generator),
            "target": torch.randn(self.draws, 4, 32, 32, generator=generator),
            "timesteps": torch.randint(1000, (self.draws,), generator=generator),
            "context": torch.randn(self.draws, 16, 64, generator=generator),
        }
        return [Term("unet", tensors)]

    def loss(self, kind: str, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Tensor:
        """Of one patient."""
        return self.row_losses(parameters, tensors).mean()

    def batch_losses(self, kind: str, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Tensor:
        """Of patients as one batch."""
        rows = {name: value.flatten(0, 1) for name, value in tensors.items()}
        return self.row_losses(parameters, rows).view(-1, self.draws).mean(1)

    def row_losses(self, parameters: Mapping[str, Tensor], rows: Mapping[str, Tensor]) -> Tensor:
        """(rows,)"""
        given = (rows["noisy"], rows["timesteps"], rows["context"])
        predicted = functional_call(self.network, dict(parameters), given, {"return_dict": False})[0]
        return (predicted - rows["target"]).square().flatten(1).mean(1)

    def owners_of_rows(self, kind: str, tensors: Mapping[str, Tensor], rows: int) -> Tensor:
        """K rows of each patient side by side."""
        return torch.arange(rows) // self.draws


def stage_loss(subset: str) -> tuple[Any, list[str]]:
    """Stage `diffuse` of one X-ray flow at `tiny` size, and the names of what trains."""
    from noise_share import OnePatientForAll

    from medm2g import Generator, preset
    from medm2g.config import FlowConfig
    from medm2g.stages import build_stage

    flows = (FlowConfig("xray"), FlowConfig("text", "text"))
    generator = Generator(preset("tiny", flows=flows, diffusion_subset=subset))
    loss = build_stage(
        "diffuse",
        generator,
        OnePatientForAll(generator),
        flows=("xray",),
        records_per_patient=1,
        timestep_draws=1,
        conditioning_dropout=0.1,
    )
    return loss, list(generator.group("diffusion/xray"))


def main(rounds: int) -> None:
    """Every setting, every mode, `rounds` times; the table."""
    for setting, (patients, draws, modes) in SETTINGS.items():
        found: dict[str, list[dict[str, float]]] = {mode: [] for mode in modes}
        for _ in range(rounds):
            for mode in modes:
                command = [sys.executable, __file__, "--mode", setting, mode]
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=_environment())
                found[mode].append(json.loads(done.stdout.splitlines()[-1]))
        print(f"\n{setting}: {patients} patients, K = {draws}")
        public = {what: statistics.median(run[what] for run in found["public"]) for what in ("wall", "cpu", "mib")}
        for mode, runs in found.items():
            own = {what: statistics.median(run[what] for run in runs) for what in public}
            ratios = {
                what: statistics.median(r[what] / p[what] for r, p in zip(runs, found["public"], strict=True))
                for what in public
            }
            print(
                f"  {mode:10} wall {own['wall']:6.3f} s ({ratios['wall']:4.2f})  CPU {own['cpu']:6.3f} s "
                f"({ratios['cpu']:4.2f})  memory {own['mib']:6.0f} MiB ({ratios['mib']:4.2f})",
                flush=True,
            )


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[1])
    return os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": str(THREADS)}


def measured(setting: str, mode: str) -> dict[str, float]:
    """Wall and CPU seconds of a step (median over steps after one), and the peak of memory above the built model."""
    from privacy.allocator import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    patients, draws, _ = SETTINGS[setting]
    if setting.startswith("unet"):
        loss: Any = UNetLoss(draws)
        names = loss.names
    else:
        loss, names = stage_loss(setting.rpartition(" ")[2])
    step = _step(loss, names, mode, [str(number) for number in range(patients)])
    built = _peak(reset=True)
    walls, cpus = [], []
    for _ in range(1 + STEPS.get(setting, 15)):
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {
        "wall": statistics.median(walls[1:]),
        "cpu": statistics.median(cpus[1:]),
        "mib": (_peak() - built) / 2**20,
    }


def _peak(*, reset: bool = False) -> float:
    """Bytes; the highest resident size since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return float(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]


def _step(loss: Any, names: list[str], mode: str, patients: list[str]) -> Callable[[], None]:
    if mode in ("opacus", "ghost"):
        return _opacus_step(loss, patients, ghost=mode == "ghost")
    own = dict(loss.network.named_parameters())
    parameters = {name: own[name] for name in names}
    for value in own.values():
        value.requires_grad_(False)
    random = torch.Generator().manual_seed(1)
    draw = lambda: [loss.draw(patient, generator=random) for patient in patients]  # noqa: E731
    if mode == "public":
        for value in parameters.values():
            value.requires_grad_(True)
        return _public_step(loss, parameters, draw)
    return _private_step(loss, parameters, draw, mode)


def _public_step(loss: Any, parameters: dict[str, nn.Parameter], draw: Callable[[], Any]) -> Callable[[], None]:
    optimizer = torch.optim.Adam(parameters.values(), lr=1e-4)

    def step() -> None:
        terms = [own[0] for own in draw()]
        tensors = {name: torch.stack([term.tensors[name] for term in terms]) for name in terms[0].tensors}
        optimizer.zero_grad(set_to_none=True)
        loss.batch_losses(terms[0].kind, {}, tensors).mean().backward()
        optimizer.step()

    return step


def _private_step(
    loss: Any, parameters: dict[str, nn.Parameter], draw: Callable[[], Any], mode: str
) -> Callable[[], None]:
    """As `Mechanism.step` does, with everybody drawn."""
    import numpy as np

    from privacy.clipping import ClippedSum
    from privacy.engines import ExecutionSettings, patient_gradients
    from privacy.noise import NoiseStream

    engine, _, size = mode.partition("/")
    settings = ExecutionSettings(chunk_size=int(size), engine=cast(Any, engine))
    optimizer = torch.optim.Adam(parameters.values(), lr=1e-4)
    stream = NoiseStream()

    def step() -> None:
        terms = draw()
        clipped = ClippedSum({name: value.detach() for name, value in parameters.items()}, clipping_norm=1.0)
        for first in range(0, len(terms), settings.chunk_size):
            clipped.fold(patient_gradients(loss, parameters, terms[first : first + settings.chunk_size], settings))
        for name, value in clipped.values().items():
            noise = torch.from_numpy(stream.gaussian(tuple(value.shape), np.float32)).double()
            parameters[name].grad = noise.add_(value).div_(len(terms)).float()
        optimizer.step()

    return step


def _opacus_step(loss: UNetLoss, patients: list[str], *, ghost: bool) -> Callable[[], None]:
    """As a user of Opacus writes it; of K draws, the gradients are added up before they are clipped."""
    from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

    network, count, draws = loss.network.train(), len(patients), loss.draws
    kind = GradSampleModuleFastGradientClipping if ghost else GradSampleModule
    model = kind(network, **({"max_grad_norm": 1.0} if ghost else {}))
    optimizer = (DPOptimizerFastGradientClipping if ghost else DPOptimizer)(
        torch.optim.Adam(network.parameters(), lr=1e-4),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
        expected_batch_size=count,
    )
    random = torch.Generator().manual_seed(1)

    def step() -> None:
        terms = [loss.draw(patient, generator=random)[0] for patient in patients]
        rows = {name: torch.cat([term.tensors[name] for term in terms]) for name in terms[0].tensors}
        optimizer.zero_grad(set_to_none=True)
        predicted = model(rows["noisy"], rows["timesteps"], rows["context"], return_dict=False)[0]
        if ghost:
            criterion = DPLossFastGradientClipping(model, optimizer, _RowLoss(), loss_reduction="mean")
            criterion(predicted, rows["target"]).backward()
        else:
            _RowLoss()(predicted, rows["target"]).mean().backward()
            if draws > 1:
                for value in network.parameters():
                    value.grad_sample = value.grad_sample.view(count, draws, *value.shape).mean(1)
        optimizer.step()

    return step


class _RowLoss(nn.Module):
    reduction = "mean"

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        return (predicted - target).square().flatten(1).mean(1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--mode"]:
        print(json.dumps(measured(sys.argv[2], sys.argv[3])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
