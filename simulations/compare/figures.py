"""What the arms say: the figures that a federation is asked for, each with the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from simulations.compare.arms import POOLED, Kind
from simulations.compare.run import BEFORE

NEAR_POOLED = 1.10
"""A federation without privacy may be so much further from the records than all data in one place."""
PRICE_OF_PRIVACY = 1.5
"""A private federation, likewise, than one without privacy."""


@dataclass(frozen=True)
class Claim:
    """Of one flow: whether it holds, and by what numbers."""

    flow: str
    claim: str
    holds: bool
    numbers: str


def claims(result: Mapping[str, Any], *, private: str = "federated-8") -> list[Claim]:
    """Those that can be asked of the arms that were run. Fréchet: lower is better; accuracy: higher is. Behind the best
    of the others stands the deviation, over sampling seeds, of the difference from it."""
    arms = result["arms"]
    found: list[Claim] = []
    for flow in arms[BEFORE]["flows"]:
        if "federated-open" in arms and POOLED in arms:
            ours, pooled = (_mean(arms, name, flow, "frechet") for name in ("federated-open", POOLED))
            found.append(_at_most(flow, "open federation near pooled data", ours, pooled, NEAR_POOLED))
        if private not in arms:
            continue
        ours = _mean(arms, private, flow, "frechet")
        if "federated-open" in arms:
            other = _mean(arms, "federated-open", flow, "frechet")
            found.append(_at_most(flow, "price of privacy", ours, other, PRICE_OF_PRIVACY))
        alone = [name for name, arm in arms.items() if arm.get("kind") == Kind.alone and arm["max_epsilon"] is not None]
        for measure in ("frechet", "finding_accuracy"):
            own = _values(arms, private, flow, measure)
            for claim, names in (("better than every site alone", alone), ("better than public", _public(arms))):
                known = [values for name in names if (values := _values(arms, name, flow, measure))]
                if own and known:
                    label = f"{claim} ({'appearance' if measure == 'frechet' else 'meaning'})"
                    found.append(_better(flow, label, own, known, lower=measure == "frechet"))
    return found


def _better(flow: str, claim: str, own: list[float], others: list[list[float]], *, lower: bool) -> Claim:
    best = (min if lower else max)(others, key=fmean)
    holds = fmean(own) < fmean(best) if lower else fmean(own) > fmean(best)
    numbers = f"{short(fmean(own))} against {short(fmean(best))}"
    if len(own) == len(best) > 1:
        numbers += f" ± {short(stdev(a - b for a, b in zip(own, best, strict=True)))}"
    return Claim(flow, claim, holds, numbers)


def _public(arms: Mapping[str, Any]) -> list[str]:
    return [name for name, arm in arms.items() if name == BEFORE or arm.get("kind") == Kind.public]


def _at_most(flow: str, claim: str, ours: float | None, other: float | None, factor: float) -> Claim:
    if ours is None or other is None:
        return Claim(flow, claim, False, "not measured")
    return Claim(flow, claim, ours <= factor * other, f"{short(ours)} is {ours / other:.2f} × {short(other)}")


def _mean(arms: Mapping[str, Any], name: str, flow: str, measure: str) -> float | None:
    values = _values(arms, name, flow, measure)
    return fmean(values) if values else None


def _values(arms: Mapping[str, Any], name: str, flow: str, measure: str) -> list[float]:
    """One for each sampling seed; none where it was not measured."""
    return list(arms[name]["flows"].get(flow, {}).get(measure, []))


def short(value: float) -> str:
    """Three digits, written out."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
