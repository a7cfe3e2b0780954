"""Tone curves of a generator's flows: its images must come to [-1, 1] as those did that it learnt from.

Nothing fails where they do not: findings are dimmer, or lie where it knows none, and training makes that its own. So
the curves are a part of the generator, and a study that names others is refused. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medm2g.config import Curve, GeneratorConfig, read_config


def stored_curves(folder: Path) -> Mapping[str, Curve]:
    """By flow, those that the generator folder says. Raises FolderInvalid, ConfigInvalid."""
    return curves(read_config(folder))


def curves(config: GeneratorConfig) -> Mapping[str, Curve]:
    """By flow, those that the configuration says."""
    return {flow.name: flow.intensity for flow in config.flows if flow.intensity}


def other_curve(learnt: Mapping[str, Curve], named: Mapping[str, Curve]) -> str | None:
    """The first flow, if any, whose images would come along another curve than it learnt from. A flow of which either
    side says nothing is taken as it is."""
    return next((flow for flow, curve in named.items() if flow in learnt and learnt[flow] != curve), None)
