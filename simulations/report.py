"""`report.html`: the run in plain words and pictures, one file that needs nothing beside it.

What the report may show follows from the data: invented patients freely; real images only under a banner that says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, StrictUndefined

from protocol.version import VERSION
from simulations import figures
from simulations.summary import Outcome, SiteSummary, summarise, write_atomically

Images = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Strip:
    """One titled row of unit images (n, s, s)."""

    title: str
    images: Images
    from_prompt: bool = False
    """Whether they were generated from a prompt or from nothing: not a patient's images, nor made from any."""


@dataclass(frozen=True)
class ReportPair:
    """An image beside the report that was written of it and the one that was asked of the generator."""

    image: Images
    original: str
    generated: str


@dataclass(frozen=True)
class TaskSamples:
    """One of the five tasks, shown."""

    title: str
    note: str = ""
    strips: Sequence[Strip] = ()
    reports: Sequence[ReportPair] = ()


@dataclass(frozen=True)
class Showing:
    """What the report shows beside the outcome's figures."""

    tasks: Sequence[TaskSamples]
    invented: bool
    """True where every patient is a phantom."""
    held_out_note: str
    seeds: int
    quality_by_round: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)


def write_report(path: Path, outcome: Outcome, showing: Showing) -> None:
    """Render the report and write it at once."""
    write_atomically(path, render(outcome, showing))


def render(outcome: Outcome, showing: Showing) -> str:
    """The page as text."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(
        minutes=_minutes,
        gib=_gib,
        percent=_percent,
        number=_number,
        megabytes=_megabytes,
        with_sd=_with_sd,
        verdict=_verdict,
    )
    template = environment.from_string(
        files("simulations").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    )
    return template.render(
        study=outcome.study,
        summary=_Dotted(summarise(outcome)),
        sites=outcome.sites,
        stages=outcome.study.stages,
        any_private=any(site.private for site in outcome.sites),
        banners=_banners(outcome.sites, invented=showing.invented),
        linked=_linked(outcome.sites),
        charts=_charts(outcome, showing),
        tasks=[_task(task) for task in showing.tasks],
        held_out_note=showing.held_out_note,
        seeds=showing.seeds,
        samples_note=_samples_note(showing.invented),
        limits=_limits(outcome.sites, invented=showing.invented),
        version=VERSION,
    )


class _Dotted(dict[str, Any]):
    """Lets the template name an absent standard deviation as None."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__({k: _Dotted(v) if isinstance(v, dict) else v for k, v in values.items()})

    def __missing__(self, name: str) -> None:
        return None


def _banners(sites: Sequence[SiteSummary], *, invented: bool) -> list[dict[str, str]]:
    banners = []
    if open_sites := [site.name for site in sites if not site.private]:
        which = "Every site" if len(open_sites) == len(sites) else ", ".join(open_sites)
        banners.append(
            {
                "colour": "red",
                "text": f"NOT PRIVATE: {which} trained without differential privacy; it may remember patients.",
            }
        )
    if invented:
        banners.append({"colour": "grey", "text": "All patients are invented (phantoms): this page may be shared."})
    else:
        banners.append({"colour": "red", "text": "contains real images: do not share"})
    return banners


def _linked(sites: Sequence[SiteSummary]) -> dict[str, float] | None:
    spent = sorted((site.epsilon for site in sites if site.private and site.epsilon is not None), reverse=True)
    return {"one": spent[0], "two": sum(spent[:2]), "all": sum(spent)} if len(spent) > 1 else None


def _charts(outcome: Outcome, showing: Showing) -> dict[str, str | None]:
    sites = outcome.sites
    spent = {site.name: site.epsilon for site in sites if site.private}
    last, stages = 0, []
    for stage in outcome.study.stages:
        last += stage.rounds
        stages.append((stage.name, last))
    return {
        "epsilon": figures.epsilon_by_site(spent, {s.name: s.max_epsilon for s in sites})
        if any(spent.values())
        else None,
        "bytes": figures.bytes_by_site({s.name: s.bytes_up for s in sites}, {s.name: s.bytes_down for s in sites}),
        "quality": figures.quality_by_round(showing.quality_by_round, stages) if showing.quality_by_round else None,
    }


def _task(task: TaskSamples) -> dict[str, Any]:
    return {
        "title": task.title,
        "note": task.note,
        "strips": [{"title": strip.title, "uri": figures.strip_uri(strip.images)} for strip in task.strips],
        "reports": [
            {
                "image": figures.strip_uri(pair.image[None]),
                "left_title": "original report",
                "left": pair.original,
                "right_title": "generated report",
                "right": pair.generated,
            }
            for pair in task.reports
        ],
    }


def _samples_note(invented: bool) -> str:
    held_out = "phantoms that no site holds" if invented else "real records of held-out patients"
    return f"Generated images stand under {held_out}; each column follows the report of the record above it."


def _limits(sites: Sequence[SiteSummary], *, invented: bool) -> list[str]:
    limits = [
        "Generated images and reports are synthetic and for research; nothing here is fit for diagnosis.",
        "ε bounds what the updates tell about one patient, not what they tell about a hospital's patients as a whole.",
        "Original images in this report and every figure of quality come from the simulation's evaluator, which sees"
        " held-out data of all sites at once. In a deployment nobody has that view.",
    ]
    if any(site.patient_ids == "pseudo" for site in sites):
        limits.append(
            "At sites with pseudo-patients, who is who is only guessed, so no patient-level claim is made there."
        )
    if not invented:
        limits.append("With so few patients privacy at this ε leaves little to learn: this run shows the machinery.")
    return limits


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.1f} minutes"


def _gib(value: int) -> str:
    return f"{value / 2**30:.2f} GiB"


def _megabytes(value: int) -> str:
    return f"{value / 1e6:.1f} MB"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _with_sd(value: float | None, deviation: float | None) -> str:
    if value is None:
        return "–"
    digits = 2 if abs(value) >= 0.1 else 4  # distances of reports lie below 0.1
    return f"{value:.{digits}f}" if deviation is None else f"{value:.{digits}f} ± {deviation:.{digits}f}"


def _verdict(flow: Mapping[str, Any]) -> str:
    """Better only when the gain exceeds two of its own standard deviations over seeds (each seed's noise is the same
    before and after, so that what a seed moves in both is no doubt about the gain)."""
    gain, deviation = flow.get("frechet_gain"), flow.get("frechet_gain_sd")
    if gain is None or deviation is None:
        return ""
    return "better" if gain > 2 * deviation else "worse" if -gain > 2 * deviation else ""
