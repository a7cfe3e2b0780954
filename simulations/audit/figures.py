"""Curves for a report: thinned for JSON, and drawn under the ceiling that a claim implies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from privacy.audit.membership import Membership
from privacy.audit.trade_off import ClaimedCurve
from simulations.figures import COLOURS, _figure_uri, plt

POINTS = 120
"""At most so many points of a curve are kept: more cannot be seen."""
Curve = Mapping[str, list[float]]


def curve_of(attack: Membership) -> dict[str, list[float]]:
    """False and true positive rates, thinned evenly along the curve."""
    false, true = attack.curve()
    kept = np.unique(np.linspace(0, len(false) - 1, POINTS).round().astype(int))
    return {"false": false[kept].tolist(), "true": true[kept].tolist()}


def ceiling_of(claim: ClaimedCurve) -> dict[str, list[float]]:
    """The largest true positive rate that the claim allows, over false positive rates down to 1 in 10,000."""
    rates = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 81)])
    return {"false": rates.tolist(), "true": claim.ceiling(rates).tolist()}


def roc_chart(curves: Mapping[str, Curve], ceiling: Curve | None, *, title: str) -> str:
    """Linear and logarithmic view side by side, as a PNG data URI."""
    figure, (plain, logarithmic) = plt.subplots(1, 2, figsize=(9.2, 3.8), layout="constrained")
    for axes in (plain, logarithmic):
        axes.plot([1e-4, 1.0], [1e-4, 1.0], color="#999999", linewidth=0.8, linestyle=":", label="guessing")
        if ceiling is not None:
            axes.plot(ceiling["false"], ceiling["true"], color="#000000", linewidth=1.6, label="ceiling of the claim")
            axes.fill_between(ceiling["false"], ceiling["true"], 1.0, color="#000000", alpha=0.07, linewidth=0)
        for colour, (name, curve) in zip(COLOURS * 3, curves.items(), strict=False):
            axes.step(curve["false"], curve["true"], where="post", color=colour, linewidth=1.2, label=name)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
    logarithmic.set(xscale="log", yscale="log", xlim=(1e-3, 1.0), ylim=(1e-3, 1.0))
    plain.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0), title=title)
    plain.legend(fontsize=7, loc="lower right")
    return _figure_uri(figure)


def power_chart(power: list[dict[str, Any]]) -> str:
    """Share of simulated audits that refute, by real noise."""
    figure, axes = plt.subplots(figsize=(5.2, 2.8), layout="constrained")
    shown = sorted(power, key=lambda one: one["noise_scale"])
    axes.plot([one["noise_scale"] for one in shown], [one["refuted"] / one["runs"] for one in shown], marker="o")
    axes.axhline(0.05, color="#999999", linewidth=0.8, linestyle=":")
    axes.set(xlabel="real noise over charged noise", ylabel="share refuted", ylim=(-0.03, 1.03))
    return _figure_uri(figure)
