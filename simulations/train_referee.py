"""Trains the shipped referee: python -m simulations.train_referee [--patients 2400] [--out medm2g/weights/referee]

Phantoms of the population `referee`, whose seeds, scanners and prevalence nothing else is trained on. Prints the
accuracy per flow on other patients of the same population and on held-out patients of the demo's hospitals.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from medm2g.metrics.flow_network import SHIPPED
from medm2g.metrics.referee import LabelledImages, Referee, train_referee
from medm2g.metrics.report_features import ReportFeatures
from medm2g.text_encoder import TextEncoder
from protocol.intensity import to_unit
from protocol.study import DEFAULT_FLOWS
from simulations.phantoms import EVERYTHING, IMAGE_FLOWS, cohort, finding_label, labels_of, render_cohort
from simulations.phantoms.cohorts import PhantomRecords

SEED = 9_000
LABELS = tuple(dict.fromkeys(label for flow in IMAGE_FLOWS for label in labels_of(flow)))


def labelled(records: PhantomRecords) -> dict[str, LabelledImages]:
    """Unit images and label numbers, by flow."""
    knots = {flow.name: flow.intensity for flow in DEFAULT_FLOWS}
    return {
        flow: LabelledImages(
            images=to_unit(pixels, knots[flow]),
            labels=np.array([LABELS.index(finding_label(patient, flow)) for patient in records.patients]),
        )
        for flow, pixels in records.images.items()
    }


def accuracy(referee: Referee, data: dict[str, LabelledImages]) -> dict[str, float]:
    """Finding-and-side accuracy by flow."""
    return {
        flow: round(float((referee.findings(flow, part.images) == part.labels).mean()), 3)
        for flow, part in data.items()
    }


def main() -> None:
    """See the module's docstring."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--patients", type=int, default=2400)
    arguments.add_argument("--passes", type=int, default=10)
    arguments.add_argument("--out", type=Path, default=SHIPPED)
    options = arguments.parse_args()
    torch.set_num_threads(1)  # the network is small: more threads wait for each other
    started = time.monotonic()
    public = render_cohort(cohort("referee", options.patients, SEED), EVERYTHING)
    print(f"{options.patients} patients drawn in {time.monotonic() - started:.0f} s", flush=True)
    referee = train_referee(labelled(public), LABELS, passes=options.passes, seed=SEED)
    print(f"trained after {time.monotonic() - started:.0f} s", flush=True)
    referee.save(options.out)
    texts = [text for region in public.reports for text in region.values()]
    with torch.no_grad():
        ReportFeatures.fit(TextEncoder()(texts[:2000]).pooled).save(options.out)
    loaded = Referee.load(options.out)
    for name, population, seed in (("referee", "referee", SEED + 1), ("held-out", "held-out", SEED + 2)):
        test = labelled(render_cohort(cohort(population, 400, seed), IMAGE_FLOWS))
        print(json.dumps({"population": name, "accuracy": accuracy(loaded, test)}), flush=True)
    print(f"done in {time.monotonic() - started:.0f} s; {options.out.name} written")


if __name__ == "__main__":
    main()
