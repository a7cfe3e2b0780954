"""Trains every arm, two at a time in processes of their own, judges all, and keeps what was done if it is stopped."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from protocol.digests import digest_folder
from protocol.study import Study
from protocol.version import VERSION
from server.generator_folder import bind
from simulations import engines
from simulations.compare.arms import Arm, Kind, arms_of
from simulations.compare.kept import VERDICTS, KeptVerdicts
from simulations.errors import InputInvalid
from simulations.evaluation import EvaluationSettings
from simulations.generators import generator_folder, initial_folder
from simulations.held_out_phantoms import held_out_phantoms
from simulations.judging import Panel
from simulations.scenario import SimulatedSite, build_phantom_sites, build_pooled_site
from simulations.study_file import read_study, write_study
from simulations.summary import Quality, write_atomically

RESULT = "comparison.json"
ARMS = "arms"
BEFORE = "before"
_SIZE = 64


@dataclass(frozen=True)
class Comparison:
    """One call of the command."""

    study_path: Path
    out: Path
    resume: bool = False
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    per_flow: int = 256
    only: tuple[str, ...] = ()
    """Arms by name; all of them where none is named."""
    referee_folder: Path | None = None
    processes: int | None = None
    """That train, and that judge; one per core by default."""


def compare(comparison: Comparison, *, progress: Progress) -> dict[str, Any]:
    """Run it; returns what `comparison.json` holds. Raises StudyInvalid, InputInvalid, PrivacyError, ServerError."""
    study = read_study(comparison.study_path, private=True)
    _check(comparison, study)  # what is refused must not cost an earlier comparison
    _open(comparison)
    folder = initial_folder(study, into=comparison.out / "initial")
    study = bind(study, folder)
    write_study(comparison.out / "study.toml", study)
    arms = [arm for arm in arms_of(study) if not comparison.only or arm.name in comparison.only]
    trained = _train(comparison, arms, folder, progress)
    qualities, ceiling = _judge(comparison, study, {BEFORE: folder, **trained}, progress)
    result = {
        "study": study.name,
        "digest": study.digest(version=VERSION),
        "seed": study.training.seed,
        "sampling": _sampling(comparison),
        "held_out_accuracy": ceiling,
        "arms": {BEFORE: {"title": "public generator, before", "flows": _flows(qualities[BEFORE])}}
        | {arm.name: _record(arm, trained[arm.name], qualities[arm.name]) for arm in arms},
    }
    text = json.dumps(result, indent=1)
    write_atomically(comparison.out / RESULT, text + "\n")
    return dict(json.loads(text))


def _check(comparison: Comparison, study: Study) -> None:
    generator_folder(study.generator, preset=study.preset)
    names = [arm.name for arm in arms_of(study)]
    if unknown := [name for name in comparison.only if name not in names]:
        raise InputInvalid(f"There is no arm {unknown[0]}: choose from {', '.join(names)}.")


def _open(comparison: Comparison) -> None:
    """An earlier comparison's folder is cleared or gone on with; anybody else's, a run's too, is refused."""
    out, known = comparison.out, (comparison.out / ARMS).is_dir()
    if comparison.resume and not known:
        raise InputInvalid(f"There is nothing to resume in {out}: run without --resume.")
    if out.is_dir() and any(out.iterdir()) and not known:
        raise InputInvalid(f"{out} holds something that is not a comparison: choose another folder with --out.")
    if not comparison.resume:
        shutil.rmtree(out, ignore_errors=True)
    (out / ARMS).mkdir(parents=True, exist_ok=True)


def _train(comparison: Comparison, arms: list[Arm], folder: Path, progress: Progress) -> dict[str, Path]:
    """The generator of every arm. An arm that is done already is not repeated."""
    bar = progress.add_task("training arms", total=len(arms))
    at_once = min(comparison.processes or os.cpu_count() or 1, len(arms))
    context = multiprocessing.get_context("spawn")
    found = {}
    # one process for each: vaults keep their patients' features for as long as they live
    with ProcessPoolExecutor(at_once, mp_context=context, max_tasks_per_child=1) as pool:
        asked = {pool.submit(train_arm, arm, folder, comparison.out / ARMS / arm.name): arm for arm in arms}
        for future in as_completed(asked):
            found[asked[future].name] = future.result()
            progress.advance(bar)
    return {arm.name: found[arm.name] for arm in arms}


def train_arm(arm: Arm, initial: Path, out: Path) -> Path:
    """Build the arm's sites, train, and leave `generator/` and `rounds.jsonl` in `out`, unless the same study has."""
    done, digest = out / "done", arm.study.digest(version=VERSION)
    if done.is_file() and done.read_text(encoding="utf-8") == digest:
        return out / "generator"
    from privacy.allocator import keep_freed_memory
    from simulations.public_continued import continue_in_public

    keep_freed_memory()
    import torch

    torch.set_num_threads(1)
    shutil.rmtree(out, ignore_errors=True)
    if arm.kind is Kind.public:
        continue_in_public(arm.study, initial, out, size=_SIZE)
    else:
        sites = _sites(arm, out / "sites")
        engines.approve(arm.study, sites, initial)
        engines.run("local", arm.study, sites, generator_folder=initial, out=out)
    shutil.rmtree(out / "sites", ignore_errors=True)
    done.write_text(digest, encoding="utf-8")
    return out / "generator"


def _sites(arm: Arm, folder: Path) -> list[SimulatedSite]:
    """The hospitals' own patients, the same in every arm, whatever the site's place in the arm's study."""
    if arm.kind is Kind.pooled:
        return [build_pooled_site(arm.study, arm.study.sites[0], arm.hospitals, folder, size=_SIZE)]
    numbers = {site.name: number for number, site in enumerate(arm.hospitals)}
    return build_phantom_sites(arm.study, folder, size=_SIZE, numbers=numbers, processes=1)


def _judge(
    comparison: Comparison, study: Study, folders: Mapping[str, Path], progress: Progress
) -> tuple[dict[str, Quality], dict[str, float]]:
    """Of every generator, and the ceiling. What an earlier call has judged on the same terms is not judged again."""
    settings, flows = comparison.evaluation, [flow.name for flow in study.flows]
    terms = {"study": study.digest(version=VERSION), "sampling": _sampling(comparison)}
    kept = KeptVerdicts(comparison.out / VERDICTS, terms)
    digests = {name: digest_folder(folder) for name, folder in folders.items()}
    missing = {digests[name]: folder for name, folder in folders.items() if digests[name] not in kept}
    bar = progress.add_task("judging", total=len(missing) * len(flows) * len(settings.sampling_seeds))
    if missing or not kept.ceiling:
        held_out = held_out_phantoms(study, per_flow=comparison.per_flow, size=_SIZE)
        with Panel(
            held_out, settings, flows=flows, referee_folder=comparison.referee_folder, workers=comparison.processes
        ) as panel:
            asked = {
                digest: panel.summon(folder, note_done=lambda: progress.advance(bar))
                for digest, folder in missing.items()
            }
            for digest, verdict in asked.items():
                kept.keep(digest, verdict.wait())
            kept.keep_ceiling(panel.held_out_accuracy())
    return {name: kept.quality(digest) for name, digest in digests.items()}, kept.ceiling


def _sampling(comparison: Comparison) -> dict[str, Any]:
    return comparison.evaluation.as_record(comparison.referee_folder) | {"per_flow": comparison.per_flow}


def _record(arm: Arm, generator: Path, quality: Quality) -> dict[str, Any]:
    lines = (generator.parent / "rounds.jsonl").read_text(encoding="utf-8").splitlines()
    return {
        "title": arm.title,
        "kind": arm.kind.value,
        "digest": arm.study.digest(version=VERSION),
        "max_epsilon": arm.study.privacy.max_epsilon if arm.private else None,
        "sites": [site.name for site in arm.study.sites],
        "rounds": len(lines),
        "flows": _flows(quality),
    }


def _flows(quality: Quality) -> dict[str, Any]:
    return {
        flow: {"frechet": list(found.frechet), "finding_accuracy": list(found.finding_accuracy)}
        for flow, found in quality.flows.items()
    }
