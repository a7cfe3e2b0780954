"""Recompute what a site's ledger spent, without fedm2g: the standard library and `dp_accounting` are enough.

    python recompute_epsilon.py LEDGER [--json]        (the format: docs/ledger.md; verify the ledger first)

For every study: epsilon of the approved plan, which is what the study claims, and of the steps reserved so far, both at
the plan's delta, by composing privacy loss distributions (PLD, pessimistic, add/remove of one patient). Exits with 1
where a plan claims less than it costs, or where more was spent than planned. Adds up the studies by basic composition.
"""

from __future__ import annotations

import json
import math
import sqlite3
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from dp_accounting import NeighboringRelation
from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism

PLAN_GRID, REPORT_GRID = 1e-3, 3e-4
"""Steps of the privacy loss at which plans are approved and figures are reported; a coarser one is never lower."""
TOLERANCE = 1e-3
ADD_REMOVE, REPLACE = NeighboringRelation.ADD_OR_REMOVE_ONE, NeighboringRelation.REPLACE_ONE


def read(path: str) -> tuple[dict[str, dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Approved plans and reserved or unprotected events, by study. Raises ValueError for an unknown kind of entry."""
    plans: dict[str, dict[str, Any]] = {}
    events: dict[str, list[dict[str, Any]]] = {}
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    for kind, study, text in connection.execute("SELECT kind, study_digest, body FROM entries ORDER BY sequence"):
        body = json.loads(text)
        if kind == "approved":
            plans[study] = body["plan"]
        elif kind in ("reserved", "non-private"):  # reserved counts as spent, committed or not
            events.setdefault(study, []).append(body["event"])
        elif kind not in ("opened", "policy", "committed"):
            raise ValueError(f"unknown kind of entry: {kind}")
    connection.close()
    return plans, events


def planned_events(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One event per stage; a stage may have noise of its own and a cap on the patients of a step."""
    events = []
    for stage in plan["stages"]:
        event = {name: stage[name] for name in ("sampling_probability", "steps")}
        event["noise_multiplier"] = stage.get("noise_multiplier") or plan["noise_multiplier"]
        capped = stage.get("batch_cap") is not None
        event |= {name: stage[name] for name in ("batch_cap", "max_patients")} if capped else {}
        events.append(event | {"kind": "capped-sampled-gaussian" if capped else "sampled-gaussian"})
    return events


def epsilon(events: list[dict[str, Any]], delta: float, grid: float) -> float:
    """Epsilon at `delta` of all events together: zero for none, infinite after one without privacy."""
    steps: Counter[str] = Counter()
    for event in events:
        if event["kind"] == "non-private":
            return math.inf
        steps[json.dumps({name: value for name, value in event.items() if name != "steps"})] += event["steps"]
    if not steps:
        return 0.0
    composed: Any = None
    for text, count in steps.items():
        loss = one_step(json.loads(text), grid).self_compose(count)
        composed = loss if composed is None else composed.compose(loss)
    return float(composed.get_epsilon_for_delta(delta))


def one_step(event: Mapping[str, Any], grid: float) -> Any:
    """Privacy loss of one noised sum over patients who were drawn independently."""

    def sampled(multiplier: float, relation: NeighboringRelation) -> Any:
        probability = event["sampling_probability"]
        return from_gaussian_mechanism(
            multiplier, value_discretization_interval=grid, sampling_prob=probability, neighboring_relation=relation
        )

    plain = sampled(event["noise_multiplier"], ADD_REMOVE)
    if event["kind"] == "sampled-gaussian":
        return plain
    if event["kind"] != "capped-sampled-gaussian":
        raise ValueError(f"unknown kind of event: {event['kind']}")
    # Where the cap bites, a patient may push another one out: a move of twice the norm (privacy/loss_distribution.py).
    bites = tail(event["batch_cap"], event["max_patients"], event["sampling_probability"])
    pushed = sampled(event["noise_multiplier"] / 2.0, REPLACE)
    return pushed.compute_mixture(plain, bites) if bites > 0.0 else plain


def tail(least: int, trials: int, probability: float) -> float:
    """Probability that a binomial draw is at least `least`."""
    if probability == 1.0:
        return float(least <= trials)
    log_odds, log_rest = math.log(probability) - math.log1p(-probability), trials * math.log1p(-probability)
    choose = (math.lgamma(trials + 1) - math.lgamma(n + 1) - math.lgamma(trials - n + 1) for n in range(trials + 1))
    return math.fsum(math.exp(c + n * log_odds + log_rest) for n, c in enumerate(choose) if n >= least)


def report(path: str) -> dict[str, Any]:
    """Every study's figures and their sums; a study without a plan trained without protection and claims nothing."""
    plans, events = read(path)
    studies: list[dict[str, Any]] = []
    for study in {**plans, **events}:
        plan, spent = plans.get(study), events.get(study, [])
        delta = plan["delta"] if plan else 0.0
        studies.append(
            {
                "study": study,
                "delta": delta,
                "claimed": plan["epsilon"] if plan else math.inf,
                "planned": epsilon(planned_events(plan), delta, PLAN_GRID) if plan else math.inf,
                "spent": epsilon(spent, delta, REPORT_GRID),
            }
        )
    total = {name: math.fsum(row[name] for row in studies) for name in ("planned", "spent", "delta")}
    sound = all(row["planned"] <= row["claimed"] + TOLERANCE and row["spent"] <= row["claimed"] for row in studies)
    return {"studies": studies, "all_studies": total, "sound": sound}


if __name__ == "__main__":
    found = report(sys.argv[1])
    if "--json" in sys.argv:
        print(json.dumps(found, indent=1).replace("Infinity", "null"))  # JSON has none: no protection, so no claim
    else:
        for row in found["studies"]:
            figures = ", ".join(f"{name} {row[name]:.4f}" for name in ("claimed", "planned", "spent"))
            print(f"study {row['study'][:12]}: epsilon {figures} at delta {row['delta']:.3g}")
        words = "all studies: epsilon {spent:.4f} spent, {planned:.4f} planned, at delta {delta:.3g}"
        print(words.format_map(found["all_studies"]))
    sys.exit(0 if found["sound"] else 1)
