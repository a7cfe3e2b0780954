"""A generator against a folder of records, read by a hospital's road into a store that lasts as long as this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from medm2g.curves import curves, other_curve
from medm2g.generator import Generator
from medm2g.metrics.encoders import FrozenEncoder, ImageEncoder, folder_encoder, reduced
from medm2g.metrics.finding_scores import name_of
from medm2g.metrics.flow_network import SHIPPED
from medm2g.metrics.frechet import frechet_distance
from medm2g.metrics.referee import Referee
from medm2g.sampling import CANDIDATES, AnyToAnyPipeline
from medm2g.threads import one_thread
from protocol.study import DEFAULT_FLOWS, SiteSpec, StageSpec, Study, flow_spec
from simulations.contact_sheets import write_sheets
from simulations.errors import InputInvalid
from simulations.evaluate import images, meaning, recognition, reports, translations, utility
from simulations.evaluate.pathways import SEEDS, SILENT, pathway_figures
from simulations.evaluate.specialists import specialist_figures
from simulations.evaluation import FEWEST, EvaluationSettings, OmniscientReferee
from simulations.folder_store import folder_store
from simulations.generators import open_generator
from simulations.held_out import HeldOut, Images
from simulations.held_out_records import HeldOutRecords
from simulations.samples import SampleBook

MOST_PER_FLOW = 256
BY_LOOK = "image_features"
"""By whose features a flow's own Fréchet distance is."""
TOO_FEW = f"Fewer than {FEWEST} records of this flow."


@dataclass(frozen=True)
class EvaluateOptions:
    """One call of the command."""

    generator: str
    data: Path
    seed: int = 0
    per_flow: int = MOST_PER_FLOW
    """Records of each flow, and as many generated ones."""
    samples: int = translations.SAMPLES
    """Of each translation, for their mean."""
    candidates: int = CANDIDATES
    """Draws of each image and report, of which the best is judged; not of translations, nor without a prompt."""
    encoders: Sequence[Path] = ()
    """Folders of image encoders to compare by, beside those that are shipped and the pixels."""
    pathways: bool = False
    """Whether each way between flows is silenced in turn (`pathways.py`)."""
    specialists: Path | None = None
    """Records of other patients, from which a paired U-Net learns each translation (`specialists.py`)."""
    sheets: Path | None = None
    """Folder to draw contact sheets into (`contact_sheets.py`)."""
    referee_folder: Path = SHIPPED


@dataclass(frozen=True)
class _Bench:
    """What every figure needs."""

    options: EvaluateOptions
    generator: Generator
    pipeline: AnyToAnyPipeline
    held_out: HeldOut
    settings: EvaluationSettings
    judge: OmniscientReferee
    encoders: list[ImageEncoder]
    progress: Progress


@one_thread()
def evaluate_folder(options: EvaluateOptions, *, progress: Progress) -> dict[str, Any]:
    """Figures by flow, by translation and of reports. Raises InputInvalid, MedM2GError."""
    bench = _bench(options, progress)
    flows = _flows(bench)
    written = _reports(bench)
    text_flow = bench.generator.text_flow
    if text_flow is not None:
        flows[text_flow] |= written
    bar = progress.add_task("translating", total=len(translations.routes(bench.generator.image_flows)))
    figures: dict[str, Any] = {
        "sampling": bench.settings.as_record(options.referee_folder)
        | {
            "per_flow": options.per_flow,
            "samples": options.samples,
            "translation_steps": translations.SAMPLER_STEPS,
        },
        "flows": flows,
        "translations": translations.translation_figures(
            AnyToAnyPipeline(bench.generator, grain=False),  # held against a patient's own image
            bench.held_out.pairs,
            seed=options.seed,
            samples=options.samples,
            on_route=lambda: progress.advance(bar),
        ),
    }
    if options.specialists is not None:
        figures["specialists"] = _specialists(bench, options.specialists)
    if options.pathways:
        turns = progress.add_task("silencing pathways", total=len(SILENT) * SEEDS)
        # single draws: to choose among several would be alignment's doing, with and without its tokens
        alone = OmniscientReferee(bench.held_out, replace(bench.settings, candidates=1), options.referee_folder)
        figures["pathways"] = pathway_figures(
            bench.generator, alone, seed=options.seed, on_turn=lambda: progress.advance(turns)
        )
    if options.sheets is not None:
        book = SampleBook(bench.held_out, bench.settings, seed=options.seed)
        write_sheets(book.tasks(bench.generator), options.sheets)
    return figures


def _bench(options: EvaluateOptions, progress: Progress) -> _Bench:
    generator = open_generator(options.generator)
    for name, folder in (("--data", options.data), ("--specialists", options.specialists)):
        if folder is not None and not folder.exists():
            raise InputInvalid(f"There is no folder {folder}: give {name} a folder of images or DICOM.")
    told = {flow.name: flow.intensity for flow in DEFAULT_FLOWS if flow.kind == "image"}
    if (flow := other_curve(curves(generator.config), told)) and options.referee_folder == SHIPPED:
        raise InputInvalid(
            f"This generator learnt {flow} along another tone curve than the shipped referee, which would misread it."
        )
    encoders = [folder_encoder(folder) for folder in options.encoders]
    held_out = _read(options.data, options, generator, Referee.load(options.referee_folder), progress)
    if not held_out.flows:
        raise InputInvalid("The folder holds no image of the generator's flows: see `fedm2g site ingest` for reasons.")
    settings = EvaluationSettings(sampling_seeds=(options.seed,), candidates=options.candidates)
    settings.prepared(generator)
    judge = OmniscientReferee(held_out, settings, options.referee_folder)
    shipped = [FrozenEncoder(BY_LOOK, judge.image_features), FrozenEncoder("referee", judge.referee)]
    pipeline = AnyToAnyPipeline(generator)
    return _Bench(options, generator, pipeline, held_out, settings, judge, [*shipped, *encoders], progress)


def _read(
    folder: Path, options: EvaluateOptions, generator: Generator, referee: Referee, progress: Progress
) -> HeldOut:
    bar = progress.add_task("reading records", total=None)
    labels, taught = referee.config.labels, referee.config.flow_labels
    findings = {flow: {name_of(labels[number]) for number in numbers} for flow, numbers in taught.items()}
    records = HeldOutRecords(_study_of(generator), findings)
    with folder_store(
        folder,
        size=generator.config.image_size,
        progress=lambda seen, total: progress.update(bar, completed=seen, total=total),
    ) as store:
        records.add(store, store.patients(), generator.flows)
    return records.held_out(per_flow=options.per_flow)


def _study_of(generator: Generator) -> Study:
    """The default flows as far as the generator has them: only their tone curves matter, which are its own."""
    known = {flow.name for flow in DEFAULT_FLOWS}
    flows = tuple(flow_spec(flow.name, flow.intensity) for flow in generator.config.flows if flow.name in known)
    site = SiteSpec(name="folder", flows=tuple(flow.name for flow in flows), declared_patients=1)
    return Study(name="evaluation", flows=flows, sites=(site,), stages=(StageSpec(name="diffuse"),))


def _flows(bench: _Bench) -> dict[str, dict[str, Any]]:
    """Of every image flow, and the place of the text flow."""
    generator, held_out, options = bench.generator, bench.held_out, bench.options
    pipeline = bench.pipeline
    bar = bench.progress.add_task("judging images", total=len(generator.image_flows))
    figures: dict[str, dict[str, Any]] = {flow: {"records": 0, "frechet": None} for flow in generator.flows}
    drawn: dict[str, Images] = {}
    for flow in generator.image_flows:
        held, own = held_out.flows.get(flow), figures[flow]
        if held is None or len(held.images) < FEWEST:
            own |= {"records": 0 if held is None else len(held.images), "reason": held_out.missing.get(flow, TOO_FEW)}
        else:
            made = bench.judge.generate_images(pipeline, flow, held.prompts, seed=options.seed)
            drawn[flow] = made
            own |= {"records": len(held.images)} | images.image_figures(flow, held.images, made, bench.encoders)
            own["frechet"] = own["encoders"][BY_LOOK]["frechet"]
            own["unprompted"] = _unprompted_distance(bench, flow)
            own["findings"] = meaning.finding_figures(flow, held, made, bench.judge.referee)
            own["utility"] = utility.utility_figures(flow, held, made, seed=options.seed)
            own["retrieval"] = meaning.retrieval_figures(generator, flow, list(held_out.reports))
        bench.progress.advance(bar)
    real = {flow: held.images for flow, held in held_out.flows.items()}
    for flow, recognised in recognition.recognition_figures(real, drawn, seed=options.seed).items():
        figures[flow]["recognised"] = recognised
    return figures


def _specialists(bench: _Bench, folder: Path) -> dict[str, dict[str, Any]]:
    """Of every route, on the pairs that the generator is measured on."""
    learnt = _read(folder, bench.options, bench.generator, bench.judge.referee, bench.progress)
    routes = translations.routes(bench.generator.image_flows)
    bar = bench.progress.add_task("training specialists", total=len(routes))
    return specialist_figures(
        routes,
        learnt.pairs,
        bench.held_out.pairs,
        seed=bench.options.seed,
        on_route=lambda: bench.progress.advance(bar),
    )


def _unprompted_distance(bench: _Bench, flow: str) -> float:
    """Fréchet distance, by the first encoder, of images that were told nothing."""
    real = bench.held_out.flows[flow].images
    made = bench.judge.generate_images(bench.pipeline, flow, [""] * len(real), seed=bench.options.seed)
    encoder = bench.encoders[0]
    return frechet_distance(*reduced(encoder(flow, real), encoder(flow, made)))


def _reports(bench: _Bench) -> dict[str, Any]:
    """Of the text flow: the distance between written and true reports, their findings and their words."""
    generator, told = bench.generator, bench.held_out.reports
    if generator.text_flow is None or len(told) < FEWEST:
        return {"records": len(told), "reason": bench.held_out.missing.get(generator.text_flow or "", TOO_FEW)}
    write = partial(bench.judge.write_reports, bench.pipeline, generator.text_flow, seed=bench.options.seed)
    written = write(told)
    return {"records": len(told), "frechet": bench.judge.report_distance(generator, written)} | {
        "reports": reports.report_figures(generator, told, written, write)
    }
