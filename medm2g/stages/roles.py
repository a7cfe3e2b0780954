"""Who speaks and who listens in one joint step of one patient (DESIGN.md §4.5).

Each of the patient's flows is a source (clean, t = 0), a co-target (noised, at the step's own t) or absent. At least
one is a target; and where the patient has a second flow, at least one other is heard, or nothing could be learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

import torch

TARGET_SHARE = 0.15
SOURCE_SHARE = 0.4
"""The rest is absent."""


class Role(Enum):
    """What a flow does in a joint step."""

    TARGET = "target"
    SOURCE = "source"
    ABSENT = "absent"


def draw_roles(flows: Sequence[str], *, targets: Sequence[str] = (), generator: torch.Generator) -> dict[str, Role]:
    """A role for each of two or more flows. targets: these are targets whatever is drawn (public pre-training)."""
    places = torch.rand(len(flows), generator=generator).tolist()
    order = torch.randperm(len(flows), generator=generator).tolist()  # who is picked where a rule asks for one more
    roles = {flow: _role(place) for flow, place in zip(flows, places, strict=True)}
    roles |= {flow: Role.TARGET for flow in targets if flow in roles}
    if Role.TARGET not in roles.values():
        roles[flows[order[0]]] = Role.TARGET
    if sum(role is not Role.ABSENT for role in roles.values()) < 2:
        silent = next(flows[index] for index in order if roles[flows[index]] is Role.ABSENT)
        roles[silent] = Role.SOURCE
    return roles


def choose_targets(roles: Mapping[str, Role], most: int, *, generator: torch.Generator) -> list[str]:
    """At most so many of the targets: those that get a term; the others are heard all the same."""
    targets = [flow for flow, role in roles.items() if role is Role.TARGET]
    kept = set(torch.randperm(len(targets), generator=generator)[:most].tolist())
    return [flow for index, flow in enumerate(targets) if index in kept]


def _role(place: float) -> Role:
    if place < TARGET_SHARE:
        return Role.TARGET
    return Role.SOURCE if place < TARGET_SHARE + SOURCE_SHARE else Role.ABSENT
