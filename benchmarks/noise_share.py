"""How much of a private step the secret stream takes: CPU seconds of noise and sampler over those of the whole step.

    OMP_NUM_THREADS=1 python benchmarks/noise_share.py

Real stages of a `tiny` generator with random weights, 120 invented patients, q = 0.2, one record and one draw each: the
cheapest step there is, and so the largest share. Ratios within one process, median of three steps. Before them, how
fast the stream is beside `torch.randn`, which anybody can replay. Prints a table.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from medm2g import Generator, preset
from medm2g.stages import build_stage
from medm2g.stages.source import PatientRecords
from medm2g.subsets import Subsets
from privacy.allocator import keep_freed_memory
from privacy.audit.invented import InventedSite, pseudonyms
from privacy.engines import PatientLoss
from privacy.noise import NoiseStream

FLOWS = ("xray", "text")
FAMILY = {"align": "alignment", "diffuse": "diffusion", "guide": "cross_guidance"}
SETTING = {"align": "alignment", "diffuse": "diffusion", "guide": "guidance"}
WHOLE = Subsets(alignment="all", diffusion="all", guidance="all")
ROWS = (
    *(("align", subset) for subset in ("norms", "all")),
    *(("diffuse", subset) for subset in ("norms", "attention", "all")),
    *(("guide", subset) for subset in ("gates", "all")),
)


class OnePatientForAll:
    """Every pseudonym has the same invented records: what they show costs no time."""

    def __init__(self, generator: Generator) -> None:
        features = generator.encode_text(["Left pleural effusion."])
        size = generator.config.image_size
        self._records = PatientRecords(
            images={"xray": torch.rand(1, 1, size, size).half()},
            latents={flow: torch.randn(1, *generator.latent_shape(flow)) for flow in FLOWS},
            text_tokens=features.tokens,
            text_mask=features.mask,
            text_ids=features.ids,
            text_pooled=features.pooled,
            report_of={"xray": torch.tensor([0])},
            templates=dict.fromkeys(FLOWS, ("Chest X-ray, PA view.",)),
        )

    def patient(self, pseudonym: str) -> PatientRecords:
        """The records."""
        return self._records


def timed(name: str, spent: dict[str, float]) -> None:
    """Let the stream's method count its own CPU seconds."""
    inner: Callable[..., Any] = getattr(NoiseStream, name)

    def counted(*given: Any, **more: Any) -> Any:
        began = time.process_time()
        found = inner(*given, **more)
        spent[name] += time.process_time() - began
        return found

    setattr(NoiseStream, name, counted)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    keep_freed_memory()
    for dtype in (np.float32, np.float64):
        ours, plain = rates(dtype)
        print(f"noise, {dtype.__name__}: {ours:.2f} GB/s; torch.randn {plain:.2f} GB/s")
    generator = Generator(preset("tiny"))
    patients, anchors = OnePatientForAll(generator), generator.anchors
    spent = {"gaussian": 0.0, "bernoulli": 0.0}
    for name in spent:
        timed(name, spent)
    for stage, subset in ROWS:
        generator.set_subsets(dataclasses.replace(WHOLE, **{SETTING[stage]: subset}))
        loss = build_stage(
            stage,
            generator,
            patients,
            flows=FLOWS,
            records_per_patient=1,
            timestep_draws=1,
            conditioning_dropout=0.1,
            anchors=anchors,
        )
        groups = [name for name in generator.group_names((FAMILY[stage],)) if name.partition("/")[2] in FLOWS]
        parameters = {key: value.detach() for group in groups for key, value in generator.group(group).items()}
        for lattice in (False, True):
            shares, seconds = measured(cast(PatientLoss, loss), parameters, spent, lattice=lattice)
            print(
                f"{stage:8} {subset:10} {sum(value.numel() for value in parameters.values()):9,} numbers"
                f"  lattice {'on ' if lattice else 'off'}  step {seconds:5.2f} s  noise and sampler {shares:.2%}"
            )


def rates(dtype: type[np.floating[Any]]) -> tuple[float, float]:
    """GB of CPU-second of the secret stream and of torch.randn, medians of five in turns."""
    stream, count = NoiseStream(), 4_000_000
    size = 1e-9 * count * np.dtype(dtype).itemsize
    kind = torch.float32 if dtype is np.float32 else torch.float64
    found: dict[str, list[float]] = {"ours": [], "plain": []}
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: stream.gaussian(count, dtype),
        "plain": lambda: torch.randn(count, dtype=kind),
    }
    for _ in range(5):
        for name, way in ways.items():
            began = time.process_time()
            way()
            found[name].append(size / (time.process_time() - began))
    return statistics.median(found["ours"]), statistics.median(found["plain"])


def measured(
    loss: PatientLoss, parameters: dict[str, Tensor], spent: dict[str, float], *, lattice: bool
) -> tuple[float, float]:
    """Share of the stream in a step and the step's CPU seconds, medians of three."""
    shares, steps = [], []
    with tempfile.TemporaryDirectory() as folder:
        mechanism = InventedSite(Path(folder) / "site").mechanism(pseudonyms(120), lattice=lattice)
        with mechanism.open(3):
            for _ in range(3):
                spent.update(dict.fromkeys(spent, 0.0))
                began = time.process_time()
                mechanism.step(parameters, loss)
                steps.append(time.process_time() - began)
                shares.append(sum(spent.values()) / steps[-1])
    return statistics.median(shares), statistics.median(steps)


if __name__ == "__main__":
    main()
