"""The one command. Each function imports its room only when it runs, so that help is fast and never loads torch.

Exit codes: 0 done; 1 an error of fedm2g itself; 2 wrong usage; 3 an input or study that cannot be used; 4 refused by a
site's policy or its privacy budget; 5 a run that began and failed; 130 interrupted; 143 ended by SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from client.commands import app as site_app
from privacy.audit.commands import app as audit_app
from protocol.offline import go_offline
from protocol.version import VERSION
from server.consortium.commands import app as consortium_app
from simulations.audit.commands import add_to as add_audits

if TYPE_CHECKING:
    from rich.progress import Progress

__version__ = VERSION

INTERNAL, USAGE, INVALID, REFUSED, FAILED, INTERRUPTED = 1, 2, 3, 4, 5, 130
#: Error class, by module and name so that nothing is imported to look it up, and the exit code it means.
EXIT_CODES = {
    ("protocol.errors", "ProtocolError"): INVALID,
    ("privacy.errors", "PrivacyError"): REFUSED,
    ("simulations.errors", "RunFailed"): FAILED,
    ("simulations.errors", "SimulationError"): INVALID,
    ("medm2g.errors", "MedM2GError"): INVALID,
    ("client.vault.errors", "VaultError"): REFUSED,
    ("client.errors", "ClientError"): INVALID,
    ("server.errors", "ConsortiumUnusable"): INVALID,
    ("server.service.errors", "StartRefused"): INVALID,
    ("server.errors", "ServerError"): FAILED,
}

app = typer.Typer(
    name="fedm2g",
    help="One generator of CT, MRI, X-ray and report text, trained across hospitals that never share a patient.",
    epilog="Exit codes: 0 done, 1 internal error, 2 usage, 3 unusable input, 4 refused by policy, 5 run failed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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


app.add_typer(site_app)
add_audits(audit_app)
app.add_typer(audit_app)
app.add_typer(consortium_app)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@app.command()
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


@app.command()
def generate(
    generator: Annotated[str, typer.Argument(help="A generator folder, or `shipped`.")],
    to: Annotated[str, typer.Option("--to", help="Flows to generate, comma separated, e.g. xray,text.")],
    text: Annotated[str | None, typer.Option("--text", help="Report or prompt to follow.")] = None,
    source: Annotated[list[str] | None, typer.Option("--from", help="A source as FLOW=FILE; repeatable.")] = None,
    count: Annotated[int, typer.Option(min=1, max=4096, help="How many of each.")] = 4,
    seed: Annotated[int, typer.Option(help="Seed of the sampling noise.")] = 0,
    num_inference_steps: Annotated[int, typer.Option("--steps", min=1, max=1000, help="Denoising steps.")] = 25,
    guidance_scale: Annotated[float, typer.Option("--guidance", min=1.0, help="Classifier-free guidance.")] = 2.0,
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
        grain=grain,
        image_format=image_format.value,
        out=out,
    )
    files = run(options)
    if as_json:
        _print_json({"files": [str(path) for path in files]})
    else:
        typer.echo(f"{len(files)} files in {out}, all of them synthetic.")


@app.command()
def evaluate(
    generator: Annotated[str, typer.Argument(help="A generator folder, or `shipped`.")],
    data: Annotated[Path, typer.Option(help="Image folder with index.csv, or a DICOM tree of `fedm2g phantoms`.")],
    encoder: Annotated[
        list[Path] | None, typer.Option(help="Folder of a further image encoder to compare by; repeatable.")
    ] = None,
    per_flow: Annotated[int, typer.Option(min=16, help="Records of each flow, and as many generated.")] = 256,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each translation, for their mean.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the sampling noise.")] = 0,
    pathways: Annotated[
        bool, typer.Option("--pathways", help="Also silence each way between flows in turn, to see what it carries.")
    ] = False,
    specialists: Annotated[
        Path | None,
        typer.Option(help="Other patients' records, to teach a U-Net of each translation with, to compare."),
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Also write the five tasks and any-to-any as Markdown.")] = None,
    as_json: Json = False,
) -> None:
    """Compare what a generator makes with real records: look, meaning, reports, translations, use for teaching."""
    _check_generator(generator)
    if page is not None and not page.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {page.parent} to write the page into.")
    from simulations.evaluate.folder import EvaluateOptions, evaluate_folder
    from simulations.evaluate.tables import tables
    from simulations.evaluate.tasks import tasks_page

    options = EvaluateOptions(generator, data, seed, per_flow, samples, tuple(encoder or ()), pathways, specialists)
    with _progress(as_json) as progress:
        figures = evaluate_folder(options, progress=progress)
    if page is not None:
        page.write_text(tasks_page(figures, title=f"What `{generator}` can do"), encoding="utf-8")
    if as_json:
        _print_json(figures)
    else:
        for table in tables(figures):
            _console().print(table)


@app.command()
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


@app.command()
def pretrain(
    study: Annotated[Path | None, typer.Argument(help="A study, for its flows and preset.")] = None,
    data: Annotated[Path | None, typer.Option(help="Public image folder or DICOM tree; phantoms without.")] = None,
    text: Annotated[Path | None, typer.Option(help="More public sentences, one per line.")] = None,
    out: Annotated[Path, typer.Option(help="Generator folder to write.")] = Path("runs/pretrain"),
    minutes: Annotated[float, typer.Option(min=0.01, help="Time to spend training.")] = 60.0,
    steps: Annotated[str | None, typer.Option(help="phase=N,… instead of minutes: the same weights again.")] = None,
    patients: Annotated[int, typer.Option(min=2, help="How many phantoms, without --data.")] = 3000,
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


@app.command()
def serve(
    generator: Annotated[str, typer.Argument(help="A generator folder, or `shipped`.")],
    bind: Annotated[str, typer.Option(help="IP address to listen on; beyond loopback only with TLS.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0 takes a free one.")] = 8400,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="Of the gRPC service.")] = 8401,
    token_file: Annotated[Path | None, typer.Option(help="Holds the token, mode 0600; made if absent.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate with its chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key.")] = None,
    max_body: Annotated[int, typer.Option(min=1, max=1024, help="MiB of one request.")] = 32,
    max_count: Annotated[int, typer.Option(min=1, help="Samples of each target in one request.")] = 8,
    max_steps: Annotated[int, typer.Option(min=1, max=1000, help="Denoising steps of one request.")] = 100,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests that sample at once.")] = 1,
    queue: Annotated[int, typer.Option(min=0, help="Requests that may wait.")] = 8,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds of one request, waiting included.")] = 300.0,
) -> None:
    """Serve a generator: a page for the browser and gRPC, for who holds the token."""
    from server.service.address import tls_of
    from server.service.limits import Limits
    from server.service.options import ServeOptions, prepare
    from simulations.generators import generator_folder

    limits = Limits(
        max_body_bytes=max_body << 20,
        max_count=max_count,
        max_steps=max_steps,
        concurrency=concurrency,
        queue=queue,
        timeout_seconds=timeout,
    )
    start = prepare(
        ServeOptions(
            folder=generator_folder(generator),
            bind=bind,
            port=port,
            grpc_port=grpc_port,
            token_file=token_file,
            tls=tls_of(tls_cert, tls_key),
            limits=limits,
        )
    )
    from server.service.serve import serve as run

    run(start, say=typer.echo)


def _check_generator(word: str) -> None:
    """Whether there is such a generator, before anything heavy is loaded."""
    from simulations.generators import generator_folder

    generator_folder(word)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"fedm2g {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    go_offline()


def _progress(quiet: bool) -> Progress:
    from client.progress import progress_bars

    return progress_bars(quiet=quiet)


def _console() -> Any:
    from rich.console import Console

    return Console()


def _print_json(values: object) -> None:
    typer.echo(json.dumps(values, indent=1, default=str))


def _exit_code(error: BaseException) -> int | None:
    for kind in type(error).__mro__:
        if (code := EXIT_CODES.get((kind.__module__, kind.__name__))) is not None:
            return code
    return None


def _terminated(number: int, _frame: object) -> NoReturn:
    """As an exit, so that what the command has started ends with it: a scheduler sends no Ctrl-C."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run the command; every failure is one sentence on standard error and a documented exit code."""
    signal.signal(signal.SIGTERM, _terminated)  # commands that serve put their own in its place
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("Interrupted; what was finished is kept.", err=True)
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        if os.environ.get("FEDM2G_TRACEBACK"):
            raise
        code = _exit_code(error)
        # The text of a foreign error may hold a path or a value from data, so only its class is printed.
        unexpected = f"fedm2g failed inside ({type(error).__name__}); set FEDM2G_TRACEBACK=1 to see where."
        typer.echo(unexpected if code is None else str(error), err=True)
        raise SystemExit(INTERNAL if code is None else code) from None


if __name__ == "__main__":
    main()
