"""Commands of a simulation and of a generator: simulate, generate, evaluate, phantoms, pretrain.

Each imports what it needs only when it runs, so that help never loads torch. `add_to` puts them into `fedm2g`.
"""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


class Engine(StrEnum):
    """Where the sites of a simulation run."""

    local = "local"
    ray = "ray"


class Switch(StrEnum):
    """On or off."""

    on = "on"
    off = "off"


class ImageFormat(StrEnum):
    """How generated images are written."""

    png = "png"
    dicom = "dicom"


def add_to(app: typer.Typer) -> None:
    """Put the commands of this file into `fedm2g`."""
    for command in (simulate, generate, evaluate, phantoms, pretrain):
        app.command()(command)


def simulate(
    study: Annotated[Path, typer.Argument(help="The study.")] = Path("studies/demo.toml"),
    data: Annotated[Path | None, typer.Option(help="Image folder with index.csv; phantoms without it.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the run leaves everything; runs/<study> by default.")] = None,
    engine: Annotated[Engine, typer.Option(help="Sites in this process, or in Ray's.")] = Engine.local,
    privacy: Annotated[Switch, typer.Option(help="`off` trains the whole study without, as a reference.")] = Switch.on,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Against each site alone, other ε, no privacy, and pooled data.")
    ] = False,
    arms: Annotated[str, typer.Option(help="Of --compare: only these, by name, joined by commas.")] = "",
    as_json: Json = False,
) -> None:
    """Run a whole study on this machine: build its sites, train, evaluate, report."""
    from privacy.allocator import keep_freed_memory
    from simulations.study_file import read_study

    found = read_study(study, private=True)  # a mistake in it is told before anything heavy is loaded
    keep_freed_memory()
    if arms and not compare:
        raise typer.BadParameter("--arms chooses among those of --compare: give both.")
    if compare:
        if data is not None or engine is Engine.ray or privacy is Switch.off:
            raise typer.BadParameter("--compare is for phantoms on the local engine, with privacy as the study says.")
        _compare(study, out or Path("runs") / f"{found.name}-compared", arms=arms, resume=resume, as_json=as_json)
        return
    from simulations.simulate import Simulation
    from simulations.simulate import simulate as run

    with _progress(as_json) as progress:
        summary = run(
            Simulation(
                study_path=study, data=data, out=out, engine=engine.value, privacy=privacy is Switch.on, resume=resume
            ),
            progress=progress,
        )
    if as_json:
        _print_json(summary)


def _compare(study: Path, out: Path, *, arms: str, resume: bool, as_json: bool) -> None:
    from simulations.compare.page import write_page
    from simulations.compare.run import Comparison, compare

    with _progress(as_json) as progress:
        only = tuple(name.strip() for name in arms.split(",") if name.strip())
        result = compare(Comparison(study, out, resume=resume, only=only), progress=progress)
    page = write_page(out, result)
    if as_json:
        _print_json(result)
    else:
        typer.echo(f"The comparison lies in {page}.")


def generate(
    generator: Annotated[str, typer.Argument(help="A generator folder, or `shipped`.")],
    to: Annotated[str, typer.Option("--to", help="Flows to generate, comma separated, e.g. xray,text.")],
    text: Annotated[str | None, typer.Option("--text", help="Report or prompt to follow.")] = None,
    source: Annotated[list[str] | None, typer.Option("--from", help="A source as FLOW=FILE; repeatable.")] = None,
    count: Annotated[int, typer.Option(min=1, max=4096, help="How many of each.")] = 4,
    seed: Annotated[int, typer.Option(help="Seed of the sampling noise.")] = 0,
    num_inference_steps: Annotated[int, typer.Option("--steps", min=1, max=1000, help="Denoising steps.")] = 25,
    guidance_scale: Annotated[float, typer.Option("--guidance", min=1.0, help="Classifier-free guidance.")] = 1.5,
    candidates: Annotated[
        int, typer.Option(min=1, max=64, help="Draws of each, of which the one nearest to what was asked is kept.")
    ] = 4,
    grain: Annotated[bool, typer.Option(help="The noise of a scanner, which no prompt decides; or smooth.")] = True,
    image_format: Annotated[ImageFormat, typer.Option("--format", help="PNG, or DICOM marked synthetic.")] = (
        ImageFormat.png
    ),
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("generated"),
    as_json: Json = False,
) -> None:
    """Generate any flows from a text, from other flows, or from nothing."""
    _check_generator(generator)
    from simulations.generate import GenerateOptions
    from simulations.generate import generate as run

    options = GenerateOptions(
        generator=generator,
        targets=tuple(part.strip() for part in to.split(",") if part.strip()),
        text=text,
        sources=tuple(source or ()),
        count=count,
        seed=seed,
        num_inference_steps=num_inference_steps,
        guidance_scale=guidance_scale,
        candidates=candidates,
        grain=grain,
        image_format=image_format.value,
        out=out,
    )
    files = run(options)
    if as_json:
        _print_json({"files": [str(path) for path in files]})
    else:
        typer.echo(f"{len(files)} files in {out}, all of them synthetic.")


def evaluate(
    generator: Annotated[str, typer.Argument(help="A generator folder, or `shipped`.")],
    data: Annotated[Path, typer.Option(help="Image folder with index.csv, or a DICOM tree of `fedm2g phantoms`.")],
    encoder: Annotated[
        list[Path] | None, typer.Option(help="Folder of a further image encoder to compare by; repeatable.")
    ] = None,
    per_flow: Annotated[int, typer.Option(min=16, help="Records of each flow, and as many generated.")] = 256,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each translation, for their mean.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the sampling noise.")] = 0,
    candidates: Annotated[
        int, typer.Option(min=1, max=64, help="Draws of each image and report, of which the best is judged.")
    ] = 4,
    pathways: Annotated[
        bool, typer.Option("--pathways", help="Also silence each way between flows in turn, to see what it carries.")
    ] = False,
    specialists: Annotated[
        Path | None,
        typer.Option(help="Other patients' records, to teach a U-Net of each translation with, to compare."),
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Also write the five tasks and any-to-any as Markdown.")] = None,
    sheets: Annotated[
        Path | None, typer.Option(help="Folder for contact sheets of what prompts give; no record, no translation.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare what a generator makes with real records: look, meaning, reports, translations, use for teaching."""
    _check_generator(generator)
    if page is not None and not page.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {page.parent} to write the page into.")
    from simulations.evaluate.folder import EvaluateOptions, evaluate_folder
    from simulations.evaluate.tables import tables
    from simulations.evaluate.tasks import tasks_page

    encoders = tuple(encoder or ())
    options = EvaluateOptions(
        generator=generator,
        data=data,
        seed=seed,
        per_flow=per_flow,
        samples=samples,
        candidates=candidates,
        encoders=encoders,
        pathways=pathways,
        specialists=specialists,
        sheets=sheets,
    )
    with _progress(as_json) as progress:
        figures = evaluate_folder(options, progress=progress)
    if page is not None:
        page.write_text(tasks_page(figures, title=f"What `{generator}` can do"), encoding="utf-8")
    if as_json:
        _print_json(figures)
    else:
        for table in tables(figures):
            _console().print(table)


def phantoms(
    out: Annotated[Path, typer.Option(help="Folder to write into; must be empty or absent.")],
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of anatomy, findings and noise.")] = 0,
    population: Annotated[str, typer.Option(help="Which invented hospital.")] = "hospital-university",
    flows: Annotated[str | None, typer.Option(help="Flows, comma separated; all that this hospital keeps.")] = None,
    size: Annotated[int, typer.Option(help="Pixels on a side.")] = 64,
    as_json: Json = False,
) -> None:
    """Write an invented hospital's export: a DICOM tree, reports by accession number, and the truth beside."""
    from simulations.phantoms.commands import write_hospital

    chosen = tuple(part.strip() for part in flows.split(",") if part.strip()) if flows else None
    with _progress(as_json) as progress:
        written = write_hospital(
            out,
            patients=patients,
            seed=seed,
            population=population,
            flows=chosen,
            size=size,
            processes=os.cpu_count() or 1,
            progress=progress,
        )
    if as_json:
        _print_json(written)
    else:
        typer.echo(f"{written['patients']} invented patients in {out}; no one in them exists.")


def pretrain(
    study: Annotated[Path | None, typer.Argument(help="A study, for its flows and preset.")] = None,
    data: Annotated[Path | None, typer.Option(help="Public image folder or DICOM tree; phantoms without.")] = None,
    text: Annotated[Path | None, typer.Option(help="More public sentences, one per line.")] = None,
    out: Annotated[Path, typer.Option(help="Generator folder to write.")] = Path("runs/pretrain"),
    minutes: Annotated[float, typer.Option(min=0.01, help="Time to spend training.")] = 60.0,
    steps: Annotated[str | None, typer.Option(help="phase=N,… instead of minutes: the same weights again.")] = None,
    patients: Annotated[int, typer.Option(min=2, help="How many phantoms, without --data.")] = 3000,
    generator: Annotated[str | None, typer.Option(help="Go on from this one: a folder, or `shipped`.")] = None,
    flows: Annotated[str | None, typer.Option(help="With --generator: a,b,… go on, the others stay.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation and order.")] = 0,
    half: Annotated[bool, typer.Option("--half", help="Write the weights in 16 bits, as shipped.")] = False,
    device: Annotated[str, typer.Option(help="cpu, or cuda where torch sees a device.")] = "cpu",
    cores: Annotated[int, typer.Option(min=1, help="Processor cores to use.")] = 2,
    larger_batches: Annotated[int, typer.Option(min=1, help="Factor for batches, for a large device.")] = 1,
    as_json: Json = False,
) -> None:
    """Train the public parts (codecs, trunks, initial groups) on public data or phantoms."""
    from privacy.allocator import keep_freed_memory

    keep_freed_memory()
    # diffusers asks for a device when it is imported; the answer must not open it, or no fork of this process could
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    from simulations.pretrain_command import PretrainOptions, pretrain_generator

    options = PretrainOptions(
        study_path=study,
        data=data,
        text=text,
        out=out,
        minutes=minutes,
        steps=steps,
        patients=patients,
        generator=generator,
        flows=None if flows is None else tuple(flow.strip() for flow in flows.split(",")),
        seed=seed,
        half=half,
        device=device,
        cores=cores,
        larger_batches=larger_batches,
    )
    with _progress(as_json) as progress:
        result = pretrain_generator(options, progress=progress)
    if as_json:
        _print_json(result)
    else:
        typer.echo(f"A generator lies in {result['generator']}.")


def _check_generator(word: str) -> None:
    """Whether there is such a generator, before anything heavy is loaded."""
    from simulations.generators import generator_folder

    generator_folder(word)


def _progress(quiet: bool) -> Progress:
    from client.progress import progress_bars

    return progress_bars(quiet=quiet)


def _console() -> Any:
    from rich.console import Console

    return Console()


def _print_json(values: object) -> None:
    typer.echo(json.dumps(values, indent=1, default=str))
