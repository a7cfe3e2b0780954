"""Trains the shipped referee: python -m simulations.train_referee [--hospitals 800] [--out medm2g/weights/referee]

Phantoms of hospitals that nothing else sees. Many, because a network that learnt findings from one hospital's images
reads another's worse, so what it says of generated images would depend on whose they look like (docs/evaluation.md,
"By whose eyes"). Prints the accuracy per flow on patients of each population.
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
from simulations.phantoms import (
    EVERYTHING,
    IMAGE_FLOWS,
    POPULATION_NAMES,
    cohort,
    cohort_of_hospitals,
    finding_label,
    labels_of,
    render_cohort,
)
from simulations.phantoms.cohorts import PhantomRecords

SEED = 9_000
FIRST_HOSPITAL = 2_000
PATIENTS = 8
"""Of each hospital."""
WRITERS = 2400
"""Patients of the population `referee`, from whose reports the features of reports are fitted."""
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
    arguments.add_argument("--hospitals", type=int, default=800)
    arguments.add_argument("--passes", type=int, default=8)
    arguments.add_argument("--out", type=Path, default=SHIPPED)
    options = arguments.parse_args()
    torch.set_num_threads(1)  # the network is small: more threads wait for each other
    started = time.monotonic()
    people = cohort_of_hospitals(range(FIRST_HOSPITAL, FIRST_HOSPITAL + options.hospitals), PATIENTS, SEED)
    data = labelled(render_cohort(people, IMAGE_FLOWS))
    print(f"{len(people)} patients drawn in {time.monotonic() - started:.0f} s", flush=True)
    referee = train_referee(data, LABELS, passes=options.passes, seed=SEED)
    print(f"trained after {time.monotonic() - started:.0f} s", flush=True)
    referee.save(options.out)
    written = render_cohort(cohort("referee", WRITERS, SEED), EVERYTHING).reports
    texts = [text for regions in written for text in regions.values()]
    with torch.no_grad():
        ReportFeatures.fit(TextEncoder()(texts[:2000]).pooled).save(options.out)
    loaded = Referee.load(options.out)
    for population in POPULATION_NAMES:
        test = labelled(render_cohort(cohort(population, 300, SEED + 1), IMAGE_FLOWS))
        print(json.dumps({"population": population, "accuracy": accuracy(loaded, test)}), flush=True)
    print(f"done in {time.monotonic() - started:.0f} s; {options.out.name} written")


if __name__ == "__main__":
    main()
