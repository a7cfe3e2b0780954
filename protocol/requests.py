"""One dataclass per message, in the order of a conversation: who are you, train, here is my update.

These six are all that server and site ever say to each other. Nothing else crosses; `records.py` gives them Flower's
shape and `codec.py` bounds their bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.arrays import Groups
from protocol.codes import Code
from protocol.digests import digest_inputs


@dataclass(frozen=True, kw_only=True)
class DescribeRequest:
    """Server to everyone who is connected: are you one of this study's sites?"""

    study_digest: str


@dataclass(frozen=True, kw_only=True)
class SiteDescription:
    """A site's answer: only what its policy declares public."""

    site: str
    versions: Mapping[str, str] = field(default_factory=dict)
    """Distribution name to version; `fedm2g` must equal the server's."""
    groups_held: Mapping[str, str] = field(default_factory=dict)
    """Group name to digest of what the site holds."""
    studies: tuple[str, ...] = ()
    """Digests of the studies approved here."""


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """Server to one site: one round of one stage."""

    study_digest: str
    stage: str
    round_number: int
    """From 1 within the stage."""
    trains: tuple[str, ...]
    """Groups to train: what the site's declared flows reach in this stage."""
    reads: Mapping[str, str]
    """Group name to digest of *every* group the round depends on: those it trains and those it only reads."""
    groups: Groups
    """Arrays of the trained groups; on a second asking also of the groups that the site lacked."""
    release_grid_seconds: float = 0.0

    @property
    def inputs_digest(self) -> str:
        """Names this round; the same on a second asking, so that answering `needs-groups` costs nothing."""
        return digest_inputs(
            study_digest=self.study_digest, stage=self.stage, round_number=self.round_number, reads=self.reads
        )


@dataclass(frozen=True, kw_only=True)
class TrainReply:
    """A site's answer: a release, or a code with a local incident number, and never anything else."""

    code: Code
    site: str
    inputs_digest: str
    """`TrainRequest.inputs_digest` of the request that is answered; anything else is a replay."""
    incident: str = ""
    """Random number under which the site's own log tells more; says nothing by itself."""
    updates: Groups = field(default_factory=dict)
    """Update per trained group: minus the noised mean gradient, or the accumulated move of local SGD over its rate."""
    missing: tuple[str, ...] = ()
    """With `needs-groups`: groups of `reads` that the site does not hold."""
    event_digest: str = ""
    """The ledger's entry for this release as `NUMBER:DIGEST`; the coordinator keeps it, so that an old ledger shows."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Releases too: public constants (`epsilon_spent`) or noised and charged."""
