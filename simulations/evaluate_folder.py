"""`fedm2g evaluate`: a generator against a folder of records, flow by flow.

Fréchet distance between the records and as many generated images that follow their reports, on the frozen referee's
features; PSNR and SSIM of translations between flows, where a patient has exactly one record of each. The folder is
read by a hospital's road into a store that lasts as long as the command.
"""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from rich.table import Table

from medm2g.generator import Generator
from medm2g.metrics.psnr_ssim import paired_quality
from medm2g.metrics.referee import Referee
from medm2g.metrics.report_features import ReportFeatures
from medm2g.sampling import AnyToAnyPipeline
from protocol.study import DEFAULT_FLOWS, SiteSpec, StageSpec, Study
from simulations.errors import InputInvalid
from simulations.evaluation import EvaluationSettings, OmniscientReferee
from simulations.folder_store import folder_store
from simulations.generators import open_generator
from simulations.held_out import HeldOut
from simulations.held_out_records import HeldOutRecords

MOST_PER_FLOW = 256
MOST_PAIRS = 64
FEWEST_PAIRS = 4


def evaluate_folder(
    word: str, data: Path, *, seed: int, progress: Progress, referee_folder: Path | None = None
) -> dict[str, Any]:
    """Figures by flow and by translation; every one that is missing has a reason. Raises InputInvalid, MedM2GError."""
    generator = open_generator(word)
    if not data.exists():
        raise InputInvalid(f"There is no folder {data}: give --data a folder of images or DICOM.")
    held_out = _read(data, generator, progress)
    if not held_out.flows:
        raise InputInvalid("The folder holds no image of the generator's flows: see `fedm2g site ingest` for reasons.")
    settings = EvaluationSettings(sampling_seeds=(seed,))
    settings.prepared(generator)
    folders = {} if referee_folder is None else {"folder": referee_folder}
    referee = OmniscientReferee(
        held_out, settings, referee=Referee.load(**folders), report_features=ReportFeatures.load(**folders)
    )
    flows = _judge(referee, generator, held_out, progress)
    return {"flows": flows, "translations": _translations(generator, held_out, settings, seed, progress)}


def _read(data: Path, generator: Generator, progress: Progress) -> HeldOut:
    bar = progress.add_task("reading records", total=None)
    records = HeldOutRecords(_study_of(generator))
    with folder_store(
        data,
        size=generator.config.image_size,
        progress=lambda seen, total: progress.update(bar, completed=seen, total=total),
    ) as store:
        records.add(store, store.patients(), generator.flows)
    return records.held_out(per_flow=MOST_PER_FLOW)


def _study_of(generator: Generator) -> Study:
    """The default flows as far as the generator has them: only their tone curves matter here."""
    flows = tuple(flow for flow in DEFAULT_FLOWS if flow.name in generator.flows)
    site = SiteSpec(name="folder", flows=tuple(flow.name for flow in flows), declared_patients=1)
    return Study(name="evaluation", flows=flows, sites=(site,), stages=(StageSpec(name="diffuse"),))


def _judge(
    referee: OmniscientReferee, generator: Generator, held_out: HeldOut, progress: Progress
) -> dict[str, dict[str, Any]]:
    bar = progress.add_task("judging", total=len(generator.flows))
    figures: dict[str, dict[str, Any]] = {}
    for flow in generator.flows:
        quality = referee.judge(generator, flows=[flow]).flows[flow]
        records = len(held_out.reports) if flow == generator.text_flow else len(_images_of(held_out, flow))
        figures[flow] = {"records": records, "frechet": quality.frechet[0] if quality.frechet else None}
        if not quality.frechet:
            figures[flow]["reason"] = quality.frechet_reason
        progress.advance(bar)
    return figures


def _images_of(held_out: HeldOut, flow: str) -> Any:
    return held_out.flows[flow].images if flow in held_out.flows else ()


def _translations(
    generator: Generator, held_out: HeldOut, settings: EvaluationSettings, seed: int, progress: Progress
) -> dict[str, dict[str, Any]]:
    """PSNR and SSIM for every ordered pair of image flows that enough patients have."""
    pipeline = AnyToAnyPipeline(generator)
    figures: dict[str, dict[str, Any]] = {}
    routes = list(permutations(generator.image_flows, 2))
    bar = progress.add_task("translating", total=len(routes))
    for source, target in routes:
        pairs = [pair.images for pair in held_out.pairs if source in pair.images and target in pair.images][:MOST_PAIRS]
        if len(pairs) >= FEWEST_PAIRS:
            given = torch.as_tensor(np.stack([pair[source] for pair in pairs]))[:, None]
            made = pipeline(
                [target],
                sources={source: given},
                num_inference_steps=settings.num_inference_steps,
                guidance_scale=settings.guidance_scale,
                generator=torch.Generator().manual_seed(seed),
            )[target]
            assert isinstance(made, torch.Tensor)
            truth = torch.as_tensor(np.stack([pair[target] for pair in pairs]))[:, None]
            quality = paired_quality(made.float(), truth)
            figures[f"{source}->{target}"] = {"pairs": quality.pairs, "psnr": quality.psnr, "ssim": quality.ssim}
        progress.advance(bar)
    return figures


def table(figures: dict[str, Any]) -> Table:
    """The figures for people."""
    shown = Table("flow", "records", "Fréchet", "PSNR (dB)", "SSIM", title="Generated against records")
    for flow, values in figures["flows"].items():
        distance = values.get("reason", "") if values["frechet"] is None else f"{values['frechet']:.2f}"
        shown.add_row(flow, str(values["records"]), distance, "", "")
    for route, values in figures["translations"].items():
        shown.add_row(route, str(values["pairs"]), "", f"{values['psnr']:.2f}", f"{values['ssim']:.3f}")
    return shown
