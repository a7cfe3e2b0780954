"""A comparison as a page of Markdown with a picture, for people and for `docs/results.md`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from simulations.compare.figures import claims, short
from simulations.compare.run import BEFORE

PAGE, PICTURE = "comparison.md", "comparison.png"


def write_page(out: Path, result: Mapping[str, Any]) -> Path:
    """Write both into `out`; returns the page."""
    _draw(out / PICTURE, result)
    parts = [*_head(result), *_arms(result), "", f"![Fréchet distances over the public generator's]({PICTURE})", ""]
    (out / PAGE).write_text("\n".join([*parts, *_claims(result), ""]), encoding="utf-8")
    return out / PAGE


def _head(result: Mapping[str, Any]) -> list[str]:
    sampling = result["sampling"]
    seeds = ", ".join(str(seed) for seed in sampling["sampling_seeds"])
    return [
        f"# {result['study']}: what federation and privacy cost",
        "",
        f"Study `{result['digest'][:12]}`, seed {result['seed']}. Every arm starts from the same generator and makes",
        "the same rounds by the same recipe. Judged on held-out records and as many generated ones,",
        f"{sampling['per_flow']} of each flow; sampling seeds {seeds}, {sampling['num_inference_steps']} steps,",
        f"guidance {sampling['guidance_scale']:g}, {sampling['dtype']}.",
        "",
        "Fréchet distance (deviation over sampling seeds) / findings as asked:",
        "",
    ]


def _arms(result: Mapping[str, Any]) -> list[str]:
    flows = list(result["arms"][BEFORE]["flows"])
    rows = [["arm", *flows], ["---"] * (1 + len(flows))]
    for arm in result["arms"].values():
        rows.append([arm["title"], *(_cell(arm["flows"].get(flow, {})) for flow in flows)])
    rows.append(["(held-out records themselves)", *(_ceiling(result, flow) for flow in flows)])
    return [f"| {' | '.join(row)} |" for row in rows]


def _claims(result: Mapping[str, Any]) -> list[str]:
    rows = [["claim", "flow", "holds", "numbers"], ["---"] * 4]
    rows += [[claim.claim, claim.flow, "yes" if claim.holds else "**no**", claim.numbers] for claim in claims(result)]
    how = "Behind ±: the deviation, over sampling seeds, of the difference between the two."
    return [how, "", *(f"| {' | '.join(row)} |" for row in rows)]


def _cell(figures: Mapping[str, Any]) -> str:
    distances, accuracy = figures.get("frechet", []), figures.get("finding_accuracy", [])
    if not distances:
        return ""
    spread = f" ({short(stdev(distances))})" if len(distances) > 1 else ""
    return f"{short(fmean(distances))}{spread}" + (f" / {fmean(accuracy):.2f}" if accuracy else "")


def _ceiling(result: Mapping[str, Any], flow: str) -> str:
    value = result["held_out_accuracy"].get(flow)
    return "" if value is None else f"/ {value:.2f}"


def _draw(path: Path, result: Mapping[str, Any]) -> None:
    """A row of dots for each arm: a flow's distance over the public generator's. Left of one is closer."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    from simulations.figures import COLOURS

    arms, flows = result["arms"], list(result["arms"][BEFORE]["flows"])
    figure, axes = plt.subplots(figsize=(8.5, 0.36 * len(arms) + 1.4), layout="constrained")
    for colour, flow in zip(COLOURS * 3, flows, strict=False):
        start = arms[BEFORE]["flows"][flow]["frechet"]
        shown = [(row, arm["flows"].get(flow, {}).get("frechet", [])) for row, arm in enumerate(arms.values())]
        points = [(fmean(values) / fmean(start), row) for row, values in shown if values and start]
        axes.plot(*zip(*points, strict=True), marker="o", linestyle="", color=colour, label=flow)
    axes.axvline(1.0, color="#999999", linewidth=0.8)
    axes.set_yticks(range(len(arms)), [arm["title"] for arm in arms.values()], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("Fréchet distance over the public generator's (lower is better)")
    axes.legend(fontsize=8, ncols=3)
    figure.savefig(path, dpi=130)
    plt.close(figure)
