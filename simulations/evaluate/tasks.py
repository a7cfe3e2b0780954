"""The paper's five tasks and every ordered pair of flows, as a page of Markdown, from the figures of `fedm2g evaluate`.

Beside our figures stand the paper's own where any are known (arXiv 2403.04290, at second hand; its tables were not
to be had). They are of other data, other encoders and other numbers of samples: nothing follows from a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from medm2g.config import modality_of
from simulations.evaluate.pathways import PAIRS, SAMPLES, SEEDS, worse_without
from simulations.evaluate.specialists import STEPS
from simulations.evaluate.translations import name_of

TEXT = "text"
Figures = Mapping[str, Any]

NOT_FOUND = "not found"
#: Task by task, in the paper's order.
PAPER: Mapping[str, str] = {
    "report generation": f"{NOT_FOUND} (IU X-Ray, MIMIC-CXR)",
    "text to image": NOT_FOUND,
    "MRI–CT translation": NOT_FOUND,
    "MRI synthesis": "PSNR 29.89 to 34.81 dB, SSIM .954 to .982 (BraTS, IXI)",
    "image generation": "FID 1.84 (ChestXray14), 15.89 (ACDC), 6.89 (SLIVER07)",
}

HOW_TO_READ = """From the flow of the row to that of the column. Report to image: mean AUROC of its findings, read by a
frozen classifier (on the diagonal, of the records themselves). Image to image: PSNR of the mean of samples, in dB.
Image to report: F1 of findings with their sides, from that image alone (on the diagonal, the report codec alone)."""

PATHWAYS = f"""Of the same generator, sources being heard by both ways, by one, or not at all (then a flow knows nothing
of the others: one generator per modality). PSNR of the mean of {SAMPLES} in dB over at most {PAIRS} pairs, and for
`text` F1 of findings; mean of {SEEDS} sampling seeds (deviation). A star: worse than with both by more than two
deviations of the difference."""


SPECIALISTS = f"""A specialist is a paired U-Net that learnt one route from other patients by squared error ({STEPS}
steps, `simulations/evaluate/specialists.py`)."""


def tasks_page(figures: Figures, *, title: str) -> str:
    """All tables, under a heading of that title."""
    return "\n".join(
        [
            f"# {title}",
            "",
            *_how(figures),
            "",
            "## The five tasks",
            "",
            *_table(["task", "route", "figures", "beside it", "the paper's, on other data"], _five(figures)),
            "",
            "## Any to any",
            "",
            HOW_TO_READ,
            "",
            *_matrix(figures),
            "",
            *_pathways(figures),
        ]
    )


def _how(figures: Figures) -> list[str]:
    sampling = figures["sampling"]
    specialists = [SPECIALISTS] if figures.get("specialists") else []
    return [
        f"At most {sampling['per_flow']} records of each flow and as many generated; {sampling['num_inference_steps']}"
        f" steps, guidance {sampling['guidance_scale']:g}, {_draws(sampling['candidates'])}; translations: unguided,"
        f" {sampling['translation_steps']} steps, mean of {sampling['samples']}. Behind a Fréchet distance: 95 %"
        " interval by bootstrap over images, which tells the spread (repeated rows widen a distance, so it lies high).",
        *specialists,
    ]


def _draws(candidates: int) -> str:
    if candidates == 1:
        return "one draw of each"
    return (
        f"the best of {candidates} draws by the generator's own alignment where a prompt or an image asks for something"
    )


def _five(figures: Figures) -> list[list[str]]:
    """A row for every route of every task that the data could support."""
    rows = [*_reports(figures), *_text_to_image(figures)]
    for task, wanted in (("MRI–CT translation", {"mri", "ct"}), ("MRI synthesis", {"mri"})):
        for route, found in figures["translations"].items():
            sources, target = _parts(route)
            if {modality_of(flow) for flow in (*sources, target)} == wanted:
                mean, codec = _mean_of(found), found["codec"]
                own = f"PSNR {mean['psnr']:.2f} dB, SSIM {mean['ssim']:.3f}, NMSE {mean['nmse']:.4f}"
                beside = f"codec alone {codec['psnr']:.2f} dB"
                if specialist := figures.get("specialists", {}).get(route):
                    beside = f"specialist {specialist['psnr']:.2f} dB, SSIM {specialist['ssim']:.3f}; {beside}"
                rows.append([task, _route(sources, target), own, beside, PAPER[task]])
    return [*rows, *_unprompted(figures)]


def _reports(figures: Figures) -> list[list[str]]:
    found = figures["flows"].get(TEXT, {}).get("reports", {})
    if "written" not in found:
        return []
    written, ceiling = (_words(found[who]) for who in ("written", "round_trip"))
    task = "report generation"
    return [[task, f"images → {TEXT}", written, f"the report codec alone: {ceiling}", PAPER[task]]]


def _words(found: Figures) -> str:
    overlap = found["overlap"]
    bleu = overlap["bleu"]
    return (
        f"finding F1 {_short(found['findings'].get('f1'))}, BLEU-1 {_short(bleu[0])}, BLEU-4 {_short(bleu[3])}, METEOR "
        f"{_short(overlap['meteor'])}, ROUGE-L {_short(overlap['rouge_l'])}"
    )


def _text_to_image(figures: Figures) -> list[list[str]]:
    task, rows = "text to image", []
    for flow, values in figures["flows"].items():
        if "encoders" in values:
            own = ", ".join([f"Fréchet {_with_interval(values)}", *_read(values, "made")])
            beside = ", ".join(_read(values, "real"))
            rows.append([task, f"{TEXT} → {flow}", own, f"records: {beside}" if beside else "", PAPER[task]])
    return rows


def _read(values: Figures, who: str) -> list[str]:
    """What classifiers see in images of that kind, as far as any could be asked."""
    known, found = values.get("recognised", {}).get(who), values.get("findings", {}).get(who)
    read = [f"taken for its modality {known['as_modality']:.3f}"] if known else []
    return read + ([f"AUROC {_short(found['mean_auroc'])}, side {_short(found['mean_side'])}"] if found else [])


def _with_interval(values: Figures) -> str:
    """The distance by the first encoder and its 95 % interval."""
    low, high = next(iter(values["encoders"].values()))["frechet_interval"]
    return f"{_distance(values['frechet'])} ({_distance(low)} to {_distance(high)})"


def _unprompted(figures: Figures) -> list[list[str]]:
    task = "image generation"
    return [
        [task, f"nothing → {flow}", f"Fréchet {_distance(values['unprompted'])}", "", PAPER[task]]
        for flow, values in figures["flows"].items()
        if values.get("unprompted") is not None
    ]


def _matrix(figures: Figures) -> list[str]:
    flows = list(figures["flows"])
    rows = [[given, *(_pair(figures, given, target) for target in flows)] for given in flows]
    return _table(["from \\ to", *flows], rows)


def _pair(figures: Figures, given: str, target: str) -> str:
    values = figures["flows"].get(target, {})
    if given in (TEXT, target) and target != TEXT:
        return _short(values.get("findings", {}).get("real" if given == target else "made", {}).get("mean_auroc"))
    if target == TEXT:
        found = values.get("reports", {}).get("round_trip" if given == TEXT else "by_source", {})
        own = found if given == TEXT else found.get(given, {})
        return _short(own.get("findings", {}).get("f1"))
    found = figures["translations"].get(name_of(((given,), target)))
    return f"{_mean_of(found)['psnr']:.1f}" if found else ""


def _pathways(figures: Figures) -> list[str]:
    """Mean (deviation over sampling seeds); a star where the task is worse than with both beyond two deviations."""
    found = figures.get("pathways")
    if not found:
        return []
    tasks = list(found["both"])
    rows = [[task, *(_silenced(found, left, task) for left in found)] for task in tasks]
    return ["## What each way between flows carries", "", PATHWAYS, "", *_table(["task", *found], rows), ""]


def _silenced(found: Mapping[str, Mapping[str, Sequence[float]]], left: str, task: str) -> str:
    values = found[left].get(task)
    if not values:
        return ""
    star = "*" if left != "both" and worse_without(found, left, task) else ""
    return f"{fmean(values):.2f} ({stdev(values):.2f}){star}"


def _parts(route: str) -> tuple[list[str], str]:
    sources, _, target = route.partition("->")
    return sources.split("+"), target


def _route(sources: Sequence[str], target: str) -> str:
    return f"{' + '.join(sources)} → {target}"


def _mean_of(found: Figures) -> Figures:
    mean: Figures = next(value for name, value in found.items() if name.startswith("mean_of_"))
    return mean


def _distance(value: float) -> str:
    """Three digits, and never a power of ten."""
    return f"{float(f'{value:.3g}'):g}"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
