"""`fedm2g pretrain`: the public parts of a generator, from phantoms or from a folder of public records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from medm2g.config import FlowConfig, GeneratorConfig, preset
from medm2g.curves import curves, other_curve
from medm2g.generator import Generator
from medm2g.pretrain import PHASES, Machine, PublicData, pretrain
from medm2g.subsets import Subsets
from protocol.study import DEFAULT_FLOWS, FlowSpec, Study
from simulations.errors import InputInvalid
from simulations.generators import open_generator
from simulations.phantoms import EVERYTHING, cohort, render_cohort
from simulations.phantoms.public import PUBLIC
from simulations.public_phantoms import public_data
from simulations.public_records import public_records, with_sentences

#: Public phantoms come from these hospitals; those of a study and the referee's are others.
POPULATION = PUBLIC


@dataclass(frozen=True)
class PretrainOptions:
    """One call of the command."""

    out: Path
    study_path: Path | None = None
    data: Path | None = None
    text: Path | None = None
    patients: int = 3000
    """Phantoms; unused where `data` is given."""
    minutes: float = 60.0
    steps: str | None = None
    """`phase=N,…` for every phase (with `generator`, for those that go on), instead of minutes: then the same command
    gives the same weights. A codec of 0 steps is fitted to its flow's range and grain, which takes none."""
    generator: str | None = None
    """Go on from this one, a folder or `shipped`, instead of beginning anew."""
    flows: tuple[str, ...] | None = None
    """With `generator`: those that go on (all, where none is named), while the others' networks stay as they are."""
    seed: int = 0
    half: bool = False
    """Write the finished generator in 16 bits, as the shipped one is."""
    device: str = "cpu"
    """Or `cuda`."""
    cores: int = 2
    """Processor cores to use."""
    larger_batches: int = 1
    """Factor for every phase's batch."""


def pretrain_generator(options: PretrainOptions, *, progress: Progress) -> dict[str, Any]:
    """Train, or go on with what `out` holds; returns where the generator lies. Raises InputInvalid, StudyInvalid."""
    machine = Machine.named(options.device, options.cores)
    study = Study.read(options.study_path) if options.study_path else None
    flows = study.flows if study else DEFAULT_FLOWS
    steps = _steps(options.steps) if options.steps is not None else None
    phases, chosen = list(PHASES), options.flows
    torch.manual_seed(options.seed)
    if options.generator is None:
        if options.flows is not None:
            raise InputInvalid("--flows chooses among the flows of a trained generator: name it with --generator.")
        generator = Generator(_config(study, flows))
    else:
        generator = open_generator(options.generator)
        chosen = generator.flows if chosen is None else chosen
        _go_on(generator, flows, chosen)
        if steps is not None:  # what these do not name stays as it is
            phases = [*(phase for phase in PHASES if phase in steps), *(name for name in steps if name not in PHASES)]
    data = _data(options, flows, generator.config, progress)
    bar = progress.add_task("pre-training", total=float(len(phases)))

    def tell(phase: str, done: float, seconds_left: float) -> None:
        progress.update(bar, description=f"pre-training: {phase}", completed=phases.index(phase) + done)

    pretrain(
        generator,
        data,
        out=options.out,
        budget_minutes=None if steps else options.minutes,
        steps=steps,
        phases=phases,
        flows=chosen,
        seed=options.seed,
        machine=machine,
        larger_batches=options.larger_batches,
        card=_card(options),
        dtype="float16" if options.half else "float32",
        progress=tell,
    )
    return {"generator": str(options.out / "generator"), "curve": str(options.out / "curve.csv")}


def _go_on(generator: Generator, flows: tuple[FlowSpec, ...], chosen: tuple[str, ...]) -> None:
    """The flows that go on follow the study's tone curves from now on; the others must have been on them before."""
    declared = {flow.name: flow for flow in _declared(flows)}
    if set(generator.flows) != set(declared):
        raise InputInvalid(
            f"The generator's flows are {', '.join(generator.flows)}, the study's {', '.join(declared)}: give a study "
            "with the generator's flows."
        )
    stay = {name: flow.intensity for name, flow in declared.items() if name not in chosen}
    if other := other_curve(curves(generator.config), stay):
        raise InputInvalid(f"The study has another tone curve for {other} than the generator: name it in --flows too.")
    generator.config = replace(generator.config, flows=tuple(declared[name] for name in generator.flows))


def _steps(given: str) -> dict[str, int]:
    """`codec=100,align=50` as a mapping; pre-training itself refuses unknown and missing phases."""
    found = {}
    for part in given.split(","):
        phase, _, number = part.partition("=")
        if not number.strip().isdecimal():
            raise InputInvalid(f"--steps takes phase=N, as in codec=100,align=50; not {part!r}.")
        found[phase.strip()] = int(number)
    return found


def _config(study: Study | None, flows: tuple[FlowSpec, ...]) -> GeneratorConfig:
    declared = _declared(flows)
    if study is None:
        return preset("tiny", flows=declared)
    return preset(study.preset, flows=declared, **Subsets.of(study.training).settings())


def _declared(flows: tuple[FlowSpec, ...]) -> tuple[FlowConfig, ...]:
    return tuple(FlowConfig(flow.name, flow.kind, flow.intensity if flow.kind == "image" else ()) for flow in flows)


def _data(
    options: PretrainOptions, flows: tuple[FlowSpec, ...], config: GeneratorConfig, progress: Progress
) -> PublicData:
    if options.data is not None:
        if not options.data.exists():
            raise InputInvalid(f"There is no folder {options.data}: give public records, or leave --data out.")
        bar = progress.add_task("reading records", total=None)
        data = public_records(
            options.data,
            flows,
            size=config.image_size,
            progress=lambda seen, total: progress.update(bar, completed=seen, total=total),
        )
    else:
        if unknown := [flow.name for flow in flows if flow.name not in EVERYTHING]:
            raise InputInvalid(f"No phantom shows the flow {unknown[0]}: give public records with --data.")
        bar = progress.add_task("drawing public phantoms", total=options.patients)
        records = render_cohort(
            cohort(POPULATION, options.patients, seed=options.seed),
            EVERYTHING,
            size=config.image_size,
            processes=options.cores,
            on_patient=lambda: progress.advance(bar),
        )
        data = only(public_data(records, flows), {flow.name for flow in flows})
    return with_sentences(data, _sentences(options.text))


def only(data: PublicData, flows: set[str]) -> PublicData:
    """The data without flows that the study does not have."""
    if set(data.images) | {data.text_flow} <= flows:
        return data
    spoken = data.text_flow in flows
    return PublicData(
        images={flow: images for flow, images in data.images.items() if flow in flows},
        patients={flow: numbers for flow, numbers in data.patients.items() if flow in flows},
        texts=data.texts if spoken else (),
        report_of={flow: rows for flow, rows in data.report_of.items() if flow in flows} if spoken else {},
        templates={flow: texts for flow, texts in data.templates.items() if flow in flows},
        examinations={flow: numbers for flow, numbers in data.examinations.items() if flow in flows},
        hospitals=data.hospitals,
        text_flow=data.text_flow,
    )


def _sentences(path: Path | None) -> list[str]:
    if path is None:
        return []
    if not path.is_file():
        raise InputInvalid(f"There is no file {path}: give a text file with one public sentence per line.")
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _card(options: PretrainOptions) -> str:
    source = "a folder of public records" if options.data else f"{options.patients} phantoms of the public hospitals"
    trained = "Trained" if options.generator is None else f"{', '.join(options.flows or ('All',))} trained further"
    return (
        "# A MedM2G generator, public parts\n\n"
        f"{trained} by `fedm2g pretrain` on {source}, seed {options.seed}. No hospital's data; no privacy claimed.\n\n"
        "Not for diagnosis or treatment, and not for training a device without validation on real patients.\n"
    )
