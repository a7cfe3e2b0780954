"""Bytes per round and site against Flower's FedAvg of the whole generator in fp32, both ways.

    python benchmarks/wire.py

Messages are packed as they travel (`protocol/packing.py`): down, the groups that a site trains, in every round, and
what it only reads, once per stage; up, its update. FedAvg sends every parameter of the generator down and up in every
round, the public text encoder excepted. Mean over the rounds of the demo's stages, per site. Prints a table.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from medm2g import Generator
from medm2g.config import DiffusionSubset
from protocol.codec import GROUP_CODEC, UPDATE_CODEC, encode_update
from protocol.groups import reads_of
from protocol.packing import pack_group
from protocol.study import Study
from simulations.generators import open_generator

SUBSETS: tuple[DiffusionSubset, ...] = ("style", "norms", "attention", "all")


def main() -> None:
    """The table, by what of a denoiser trains."""
    study = Study.read(Path(__file__).resolve().parents[1] / "studies" / "demo.toml")
    generator = open_generator("shipped")
    whole = 4 * sum(
        value.numel() for name, value in generator.named_parameters() if not name.startswith("text_encoder.")
    )
    print(f"FedAvg: {2 * whole / 1e6:.1f} MB per round and site")
    for subset in SUBSETS:
        generator.set_diffusion_subset(subset)
        training = study.training.model_copy(update={"diffusion_subset": subset})
        for name, moved in _moved(study.model_copy(update={"training": training}), generator).items():
            print(f"{subset:10} {name:20} {moved / 1e3:9.1f} kB   1/{2 * whole / moved:.0f}")


def _moved(study: Study, generator: Generator) -> dict[str, float]:
    """Bytes per round, mean over all rounds, by site."""
    sizes = {name: _sizes(generator, name) for name in generator.group_names()}
    rounds = sum(stage.rounds for stage in study.stages)
    moved = {}
    for site in study.sites:
        total = 0
        for stage in study.stages:
            trains = study.groups_of(stage.name, site)
            reads = set(reads_of(study, stage.name, site)) - set(trains)
            total += stage.rounds * sum(sizes[name][0] + sizes[name][1] for name in trains)
            total += sum(sizes[name][0] for name in reads)
        moved[site.name] = total / rounds
    return moved


def _sizes(generator: Generator, group: str) -> tuple[int, int]:
    """Bytes of a group on its way down, and of an update of it on its way up."""
    arrays = generator.group_arrays(group)
    down, up = (len(pack_group(encode_update(arrays, codec=codec))) for codec in (GROUP_CODEC, UPDATE_CODEC))
    return down, up


if __name__ == "__main__":
    main()
