"""The figures for people, one table for each question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def tables(figures: Mapping[str, Any]) -> list[Table]:
    """Appearance, meaning, reports, translations; tables without a row are left out."""
    found = [_appearance(figures), _meaning(figures), _reports(figures), _translations(figures)]
    return [table for table in found if table.row_count]


def _appearance(figures: Mapping[str, Any]) -> Table:
    shown = Table("flow", "records", "by", "Fréchet (95 %)", "kernel", "precision", "recall", "density", "coverage")
    shown.title = "Appearance: generated beside records"
    for flow, values in figures["flows"].items():
        for name, found in values.get("encoders", {}).items():
            low, high = found["frechet_interval"]
            shape = [f"{found[part]:.2f}" for part in ("precision", "recall", "density", "coverage")]
            distance = f"{found['frechet']:.3g} ({low:.3g} to {high:.3g})"
            shown.add_row(flow, str(values["records"]), name, distance, f"{found['kernel']:.3g}", *shape)
        if "encoders" not in values:
            distance = values.get("reason", "") if values["frechet"] is None else f"{values['frechet']:.3g}"
            shown.add_row(flow, str(values["records"]), "", distance)
    return shown


def _meaning(figures: Mapping[str, Any]) -> Table:
    shown = Table(
        "flow",
        "recognised made",
        "real",
        "AUROC made",
        "real",
        "side made",
        "real",
        "trained on made",
        "on real",
        "on both",
        "own report first",
    )
    shown.title = "Meaning: taken for its modality; findings, by a frozen classifier; classifiers taught; retrieval"
    for flow, values in figures["flows"].items():
        findings, utility = values.get("findings", {}), values.get("utility", {})
        retrieval, recognised = values.get("retrieval", {}), values.get("recognised", {})
        if any("made" in found for found in (findings, utility, recognised)) or "image_to_text" in retrieval:
            known = [recognised.get(who, {}).get("as_modality") for who in ("made", "real")]
            read = [findings.get(who, {}).get(what) for what in ("mean_auroc", "mean_side") for who in ("made", "real")]
            taught = [utility.get(name) for name in ("made", "real", "real_and_made")]
            shown.add_row(flow, *map(_short, [*known, *read, *taught, retrieval.get("image_to_text", {}).get(1)]))
    return shown


def _reports(figures: Mapping[str, Any]) -> Table:
    shown = Table("reports", "finding F1", "BLEU-1", "BLEU-4", "METEOR", "ROUGE-L", title="Reports")
    for values in figures["flows"].values():
        for name in ("written", "round_trip"):
            if name in values.get("reports", {}):
                found = values["reports"][name]
                words = found["overlap"]
                row = [
                    found["findings"].get("f1"),
                    words["bleu"][0],
                    words["bleu"][3],
                    words["meteor"],
                    words["rouge_l"],
                ]
                shown.add_row(name.replace("_", " "), *map(_short, row))
    return shown


def _translations(figures: Mapping[str, Any]) -> Table:
    shown = Table(
        "route", "pairs", "PSNR (dB)", "of the mean", "specialist", "codec alone", "SSIM", "of the mean", "NMSE"
    )
    shown.title = "Translations: one sample, the mean of several, a U-Net for this route alone, the codec's ceiling"
    for route, values in figures["translations"].items():
        mean = next(found for name, found in values.items() if name.startswith("mean_of_"))
        specialist = figures.get("specialists", {}).get(route, {})
        decibels = [_short(found.get("psnr")) for found in (values, mean, specialist, values["codec"])]
        likeness = [f"{found['ssim']:.3f}" for found in (values, mean)]
        shown.add_row(route, str(values["pairs"]), *decibels, *likeness, f"{mean['nmse']:.4f}")
    return shown


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
