"""Trains the shipped image features: python -m simulations.train_encoder [--hospitals 800] [--out DIR]

Phantoms of hospitals that nothing else sees: their scanners, patients and prevalence are drawn as those of the public
hospitals are, under other numbers. Prints what the features notice, beside the referee's, on records alone: for sets of
256 images of one hospital, how many deviations of the distance between two such sets a
change adds to it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from medm2g.metrics.flow_network import SHIPPED
from medm2g.metrics.frechet import frechet_distance
from medm2g.metrics.image_features import DescribedImages, ImageFeatures, train_image_features
from medm2g.metrics.referee import Referee
from simulations.phantoms import (
    IMAGE_FLOWS,
    PUBLIC_HOSPITALS,
    cohort,
    cohort_of_hospitals,
    facts_of,
    render_cohort,
)
from simulations.train_referee import labelled

SEED = 9_500
FIRST_HOSPITAL = 1_000
PATIENTS = 8
"""Of each hospital."""
_SET, _SETS = 256, 6
AS_THEY_ARE = "as they are"
Images = np.ndarray
CHANGES: Mapping[str, Callable[[Images], Images]] = {
    "blur of .6 px": lambda images: np.stack([gaussian_filter(image, 0.6) for image in images]),
    "noise of .06": lambda images: images + np.random.default_rng(SEED).normal(0, 0.06, images.shape),
    "contrast of 1.1": lambda images: np.clip(1.1 * images, -1, 1),
    "half mosaic of 4 px": lambda images: (images + _mosaic(images)) / 2,
    "left for right": lambda images: images[:, :, ::-1].copy(),
}


def taught(hospitals: int) -> dict[str, DescribedImages]:
    """Images of the hospitals' patients and what is known of them, by flow."""
    people = cohort_of_hospitals(range(FIRST_HOSPITAL, FIRST_HOSPITAL + hospitals), PATIENTS, SEED)
    return {
        flow: DescribedImages(part.images.astype(np.float32), facts_of(people, flow), part.labels)
        for flow, part in labelled(render_cohort(people, IMAGE_FLOWS)).items()
    }


def records() -> dict[str, dict[str, Images]]:
    """By flow and name: images `as they are`, under each change, and of public hospitals with the same findings."""
    ours = labelled(render_cohort(cohort("referee", _SET * _SETS, SEED + 1), IMAGE_FLOWS))
    others = labelled(render_cohort(cohort("public", 4 * _SET * _SETS, SEED + 2), IMAGE_FLOWS))
    return {
        flow: {
            AS_THEY_ARE: part.images,
            **{name: change(part.images) for name, change in CHANGES.items()},
            "other hospitals": others[flow].images[_with_findings(others[flow].labels, part.labels)],
        }
        for flow, part in ours.items()
    }


def noticed(
    features: Callable[[str, Images], np.ndarray], seen: Mapping[str, Mapping[str, Images]]
) -> dict[str, dict[str, float]]:
    """By flow and name: deviations that a change adds to the distance between sets of `records`."""
    found: dict[str, dict[str, float]] = {}
    for flow, versions in seen.items():
        points = {name: features(flow, images) for name, images in versions.items()}
        far = {name: _distances(points[AS_THEY_ARE], other) for name, other in points.items()}
        usual = far.pop(AS_THEY_ARE)
        found[flow] = {
            name: round(float((values.mean() - usual.mean()) / usual.std(ddof=1)), 1) for name, values in far.items()
        }
    return found


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(sets,) between each set of the first and the next set of the second: never the same patients."""
    parts = [slice(start, start + _SET) for start in range(0, _SET * _SETS, _SET)]
    return np.array([frechet_distance(first[a], second[b]) for a, b in zip(parts, parts[1:] + parts[:1], strict=True)])


def _with_findings(known: np.ndarray, wanted: np.ndarray) -> list[int]:
    """Rows of `known` whose labels are those wanted, each row as seldom as can be."""
    rows = {label: np.flatnonzero(known == label) for label in set(wanted.tolist())}
    used: dict[int, int] = {}
    chosen = []
    for label in wanted.tolist():
        turn = used.get(label, 0)
        chosen.append(int(rows[label][turn % len(rows[label])]))
        used[label] = turn + 1
    return chosen


def _mosaic(images: Images) -> Images:
    count, size, _ = images.shape
    means = images.reshape(count, size // 4, 4, size // 4, 4).mean(axis=(2, 4))
    return means.repeat(4, axis=1).repeat(4, axis=2)


def main() -> None:
    """See the module's docstring."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--hospitals", type=int, default=800)
    arguments.add_argument("--passes", type=int, default=6)
    arguments.add_argument("--out", type=Path, default=SHIPPED)
    options = arguments.parse_args()
    assert FIRST_HOSPITAL >= PUBLIC_HOSPITALS  # those of pre-training are not these
    torch.set_num_threads(1)  # the network is small: more threads wait for each other
    started = time.monotonic()
    data = taught(options.hospitals)
    print(f"{options.hospitals * PATIENTS} patients drawn in {time.monotonic() - started:.0f} s", flush=True)
    train_image_features(data, passes=options.passes, seed=SEED).save(options.out)
    print(f"trained after {time.monotonic() - started:.0f} s", flush=True)
    seen = records()
    for name, network in (("image features", ImageFeatures.load(options.out)), ("referee", Referee.load())):
        print(json.dumps({"by": name, "deviations": noticed(network.features, seen)}), flush=True)


if __name__ == "__main__":
    main()
