"""Bytes per round and site against Flower's FedAvg of the whole generator in fp32, both ways.

    python benchmarks/wire.py

Messages are packed as they travel (`protocol/packing.py`): down, the groups that a site trains, in every round, and
what it only reads, once per stage; up, its update. FedAvg sends every parameter of the generator down and up in every
round, the public text encoder excepted. Mean over the rounds of the demo, and of each of its stages, per site. Prints a
table for several choices of what trains, the demo's own first.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from medm2g import Generator
from medm2g.subsets import Subsets
from protocol.codec import GROUP_CODEC, UPDATE_CODEC, encode_update
from protocol.groups import reads_of
from protocol.packing import pack_group
from protocol.study import SiteSpec, Study
from simulations.generators import open_generator

OTHERS = (
    Subsets(alignment="norms", diffusion="norms", guidance="norms"),
    Subsets(alignment="norms", diffusion="attention", guidance="norms"),
    Subsets(alignment="all", diffusion="style", guidance="all"),
    Subsets(alignment="all", diffusion="all", guidance="all"),
)


def main() -> None:
    """The table, by what trains."""
    study = Study.read(Path(__file__).resolve().parents[1] / "studies" / "demo.toml")
    generator = open_generator("shipped")
    every = [value.numel() for name, value in generator.named_parameters() if not name.startswith("text_encoder.")]
    whole = 2 * 4 * sum(every)  # down and up
    print(f"FedAvg: {whole / 1e6:.1f} MB per round and site")
    for subsets in (Subsets.of(study.training), *OTHERS):
        generator.set_subsets(subsets)
        sizes = {name: _sizes(generator, name) for name in generator.group_names()}
        training = study.training.model_copy(update=subsets.settings())
        chosen = study.model_copy(update={"training": training})
        print(subsets)
        for site in study.sites:
            moved = _moved(chosen, site, sizes)
            rounds = {stage.name: stage.rounds for stage in study.stages}
            mean = sum(moved.values()) / sum(rounds.values())
            by_stage = ", ".join(f"{name} 1/{whole * rounds[name] / total:.0f}" for name, total in moved.items())
            print(f"  {site.name:20} {mean / 1e3:9.1f} kB   1/{whole / mean:.0f} ({by_stage})")


def _moved(study: Study, site: SiteSpec, sizes: dict[str, tuple[int, int]]) -> dict[str, int]:
    """Bytes by stage, over all of its rounds."""
    moved = {}
    for stage in study.stages:
        trains = study.groups_of(stage.name, site)
        reads = set(reads_of(study, stage.name, site)) - set(trains)
        moved[str(stage.name)] = stage.rounds * sum(sum(sizes[name]) for name in trains)
        moved[str(stage.name)] += sum(sizes[name][0] for name in reads)
    return moved


def _sizes(generator: Generator, group: str) -> tuple[int, int]:
    """Bytes of a group on its way down, and of an update of it on its way up."""
    arrays = generator.group_arrays(group)
    down, up = (len(pack_group(encode_update(arrays, codec=codec))) for codec in (GROUP_CODEC, UPDATE_CODEC))
    return down, up


if __name__ == "__main__":
    main()
