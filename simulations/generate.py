"""`fedm2g generate`: any flows from a text, from files of other flows, or from nothing; all marked synthetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from medm2g.generator import Generator
from medm2g.sampling import CANDIDATES, GUIDANCE, AnyToAnyPipeline
from protocol.intensity import to_unit
from protocol.study import FlowSpec, flow_spec
from protocol.synthetic import synthetic_dicom, synthetic_png
from simulations.errors import InputInvalid
from simulations.generators import open_generator


@dataclass(frozen=True)
class GenerateOptions:
    """One call of the command."""

    generator: str
    targets: tuple[str, ...]
    out: Path
    text: str | None = None
    sources: tuple[str, ...] = ()
    """Each `FLOW=FILE`."""
    count: int = 4
    seed: int = 0
    num_inference_steps: int = 25
    guidance_scale: float = GUIDANCE
    candidates: int = CANDIDATES
    """Draws of each, of which the one that says best what was asked is kept."""
    grain: bool = True
    """Whether images get the noise that their codec leaves out."""
    image_format: str = "png"


def generate(options: GenerateOptions) -> list[Path]:
    """Sample and write; returns the files. Raises InputInvalid or MedM2GError."""
    generator = open_generator(options.generator)
    pipeline = AnyToAnyPipeline(generator, grain=options.grain)
    made = pipeline(
        list(options.targets),
        prompts=[options.text] if options.text else None,
        sources=_read_sources(options.sources, generator) or None,
        count=options.count,
        num_inference_steps=options.num_inference_steps,
        guidance_scale=options.guidance_scale,
        candidates=options.candidates,
        generator=torch.Generator().manual_seed(options.seed),
    )
    options.out.mkdir(parents=True, exist_ok=True)
    specs = [flow_spec(flow, generator.config.flow(flow).intensity) for flow in options.targets]
    return [path for spec in specs for path in _write(spec, made[spec.name], options)]


def _write(spec: FlowSpec, made: Tensor | Sequence[str], options: GenerateOptions) -> list[Path]:
    paths = []
    for index, sample in enumerate(made):
        stem = options.out / f"{spec.name}-{options.seed}-{index:03d}"
        if isinstance(sample, str):
            path = stem.with_suffix(".txt")
            path.write_text(sample + "\n", encoding="utf-8")
        elif options.image_format == "dicom":
            path = stem.with_suffix(".dcm")
            identity = f"{options.generator}/{options.seed}/{index}"
            path.write_bytes(synthetic_dicom(sample[0].float().numpy(), spec, identity=identity))
        else:
            path = stem.with_suffix(".png")
            path.write_bytes(synthetic_png(sample[0].float().numpy()))
        paths.append(path)
    return paths


def _read_sources(words: Sequence[str], generator: Generator) -> dict[str, Tensor | list[str]]:
    sources: dict[str, Tensor | list[str]] = {}
    for word in words:
        flow, separator, name = word.partition("=")
        if not separator or not name:
            raise InputInvalid("Write a source as FLOW=FILE, for example --from ct=slice.png.")
        if flow not in generator.flows:
            raise InputInvalid(f"This generator has no flow called {flow}: choose one of {', '.join(generator.flows)}.")
        if not Path(name).is_file():
            raise InputInvalid(f"There is no file for the source {flow}: check the path after `{flow}=`.")
        if flow == generator.text_flow:
            sources[flow] = [Path(name).read_text(encoding="utf-8").strip()]
        else:
            spec = flow_spec(flow, generator.config.flow(flow).intensity)
            unit = read_unit_image(Path(name), spec, size=generator.config.image_size)
            sources[flow] = torch.as_tensor(unit)[None, None]
    return sources


def read_unit_image(path: Path, flow: FlowSpec, *, size: int) -> npt.NDArray[np.float32]:
    """A PNG, JPEG or DICOM file as a unit image (size, size): grey 0..255, or stored values along the tone curve."""
    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        with Image.open(path) as picture:
            grey = picture.convert("L").resize((size, size), Image.Resampling.BILINEAR)
        return (np.asarray(grey, dtype=np.float32) / 127.5 - 1.0).astype(np.float32)
    from client.records import dicom
    from client.records.rules import AS_THEY_ARE

    readings = dicom.read(path, image_size=size, rules=AS_THEY_ARE)
    if not isinstance(readings, list) or not readings:
        raise InputInvalid(
            f"The source for {flow.name} is not a readable image: {getattr(readings, 'reason', 'unknown')}."
        )
    return to_unit(readings[0].array, flow.intensity)
